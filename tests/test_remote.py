"""Places of a daemon as a user writes them, and connections through a stand-in for ssh.

The stand-in runs the command on this machine, as sshd would on another one; tests/e2e has
a real sshd and a second user.
"""

import os
import shlex
import signal
import stat
import sys
from pathlib import Path

import pytest
from dlmd.wire.client import Client, DaemonGone
from dlmd.wire.protocol import Infill, Result, hole
from dlmd.wire.remote import Endpoint, SshHost, endpoint_of
from dlmd_lsp.link import Link

from tests.processes import Home

TOKEN = {"DLMD_TOKEN": "secret"}


@pytest.mark.parametrize(
    ("place", "host"),
    [
        ("ssh://box", SshHost(name="box")),
        ("ssh://me@box:2222", SshHost(name="me@box", port=2222)),
        ("ssh://Gpu-Box.lan/", SshHost(name="Gpu-Box.lan")),
        ("ssh://me@[fe80::1]:22", SshHost(name="me@fe80::1", port=22)),
        ("ssh://box/opt/a%20b/dlmd", SshHost(name="box", program="/opt/a b/dlmd")),
    ],
)
def test_ssh_places(place: str, host: SshHost) -> None:
    assert endpoint_of(place, {}) == Endpoint(ssh=host)


def test_sockets_and_urls() -> None:
    assert endpoint_of("unix:///run/d%20d.sock", {}).socket == Path("/run/d d.sock")
    there = endpoint_of("http://127.0.0.1:8012/", TOKEN)
    assert (there.url, there.token) == ("http://127.0.0.1:8012", "secret")
    assert endpoint_of("http://[::1]:1", TOKEN).url == "http://[::1]:1"
    assert "secret" not in repr(there)


@pytest.mark.parametrize(
    "place",
    [
        *("", "box", "box:22", "ssh://", "ssh://-oProxyCommand=x", "ssh://a@-b"),
        *("ssh://me:password@box", "ssh://box:99999", "ssh://a b", "ssh://box?x=1"),
        *("unix://relative", "http://127.0.0.1", "http://127.0.0.1:8/x", "ftp://a"),
    ],
)
def test_what_is_no_place_is_told_so(place: str) -> None:
    with pytest.raises(ValueError, match=r"is no place of a daemon; give ssh://"):
        endpoint_of(place, TOKEN)


def test_a_token_never_leaves_this_machine() -> None:
    with pytest.raises(ValueError, match=r"not on this machine; give ssh://gpu"):
        endpoint_of("http://gpu:8012", TOKEN)


def test_where_the_token_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from a file\n")
    place = "http://localhost:8012"
    assert endpoint_of(place, {"DLMD_TOKEN_FILE": str(file)}).token == "from a file"
    with pytest.raises(ValueError, match="cannot be read"):
        endpoint_of(place, {"DLMD_TOKEN_FILE": str(tmp_path / "none")})
    with pytest.raises(ValueError, match="wants its token; set DLMD_TOKEN"):
        endpoint_of(place, {})


def test_words_for_the_far_shell_stay_words() -> None:
    command = SshHost(name="box", port=7, program="/a b/$(x)'").command(ask=False)
    assert command[:3] == ["ssh", "-T", "-e"] and "BatchMode=yes" in command
    assert command[command.index("--") + 1] == "box"
    assert "'\\''" in command[-1] or "'\"'\"'" in command[-1]


# ---- through a stand-in for ssh


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A "host" whose dlmd is this one; ssh runs the last word of its command here."""
    home = Home(tmp_path)
    bin = tmp_path / "bin"
    bin.mkdir()
    _script(bin / "ssh", 'for last; do :; done\nexec sh -c "$last"')
    _script(bin / "dlmd", f'exec {shlex.quote(sys.executable)} -m dlmd "$@"')
    for name, value in home.env(PATH=f"{bin}:{os.environ['PATH']}").items():
        monkeypatch.setenv(name, value)
    return home


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def question(id: str) -> Infill:
    return Infill(id=id, parts=["a = ", hole(), "\n"])


@pytest.mark.slow
async def test_an_infill_through_the_pipe(box: Home) -> None:
    with box.fake_daemon("--default", "42"):
        async with Client.connect(endpoint_of("ssh://box")) as client:
            seen = [message async for message in client.infill(question("1"))]
    assert isinstance(seen[-1], Result)
    assert seen[-1].candidates[0].holes == ["42"]


@pytest.mark.slow
async def test_no_daemon_and_none_may_be_started(box: Home) -> None:
    with pytest.raises(DaemonGone, match=r"at ssh://box: dlmd: no daemon runs"):
        await Client.open(endpoint_of("ssh://box"))


@pytest.mark.slow
async def test_no_dlmd_there(box: Home) -> None:
    with pytest.raises(DaemonGone, match=r"no dlmd on its PATH; give ssh://host/path"):
        await Client.open(endpoint_of("ssh://box/nowhere/dlmd"))


@pytest.mark.slow
async def test_after_a_drop_the_language_server_connects_again(
    box: Home, tmp_path: Path
) -> None:
    told: list[str] = []
    link = Link(
        start=False,
        command=None,
        daemon=endpoint_of("ssh://box"),
        say=print,
        tell=lambda status: told.append(status.phase),
    )
    counter = tmp_path / "forwards"
    arguments = ("--counter", str(counter), "--delay-ms", "20", "--steps", "500")
    with box.fake_daemon(*arguments):
        client = await link.client(explicit=False)
        with pytest.raises(DaemonGone):
            async for _ in client.infill(question("1")):
                _end_all(_dialling())
        again = await link.client(explicit=False)
        assert again is not client and again.status.phase in ("ready", "busy")
        await link.close()
    assert 0 < int(counter.read_text()) < 500
    assert told[0] == "starting"


def _dialling() -> list[int]:
    """Our children's `dlmd dial-stdio`: the stand-in's ssh became it."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"dial-stdio" in command:
                found.append(int(child))
    return found


def _end_all(pids: list[int]) -> None:
    for pid in pids:
        os.killpg(pid, signal.SIGKILL)  # the stand-in leaves a shell in between


@pytest.mark.slow
def test_the_command_line_says_why_in_one_sentence(box: Home) -> None:
    wrong = box.run("infill", "-", "--connect", "box", stdin="⟦⟧".encode())
    assert wrong.code == 1 and wrong.err.count("\n") == 1
    path = f"{box.folder / 'bin'}:{os.environ['PATH']}"
    none = box.run("status", "--connect", "ssh://box", PATH=path)
    assert none.code == 1 and "no daemon runs" in none.err
    with box.fake_daemon("--default", "42"):
        asked = box.run(
            "infill", "-", "--connect", "ssh://box", stdin="x = ⟦⟧".encode(), PATH=path
        )
        shown = box.run("status", "--connect", "ssh://box", PATH=path)
    assert (asked.code, asked.out) == (0, b"x = 42")
    assert (shown.code, b"at ssh://box" in shown.out) == (0, True)
