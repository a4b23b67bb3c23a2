"""A daemon on "another host": a real sshd on loopback, as another user where we may.

As root a user is made for the length of these tests and removed again; without root, sshd
runs as ourselves. The tunnel is killed in mid-stream.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import ROOT, Answer, Home

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not os.environ.get("SSHD"), reason="SSHD names no sshd"),
]
USER = "dlmd-e2e"
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The far side: its user and folder; and the near side's home, whose ssh reaches it."""

    user: str
    folder: Path
    home: Home
    path: str

    def dlmd(self, *arguments: str, stdin: str = "") -> Answer:
        return self.home.run(*arguments, stdin=stdin.encode(), PATH=self.path)

    def place(self) -> str:
        return f"ssh://gpu-box{self.folder}/dlmd"

    def far(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ["ssh", "-T", "gpu-box", f"{self.folder}/dlmd", *arguments]
        env = {"PATH": self.path}
        return subprocess.run(command, env=env, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    folder = Path(tempfile.mkdtemp(prefix="dlmd-ssh-"))
    folder.chmod(0o755)
    root = os.getuid() == 0
    if root:
        subprocess.run(
            ["useradd", "--no-create-home", "-p", "*", "-s", "/bin/sh", USER],
            check=True,
        )
    try:
        user = USER if root else pwd.getpwuid(os.getuid()).pw_name
        yield from _box(folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if root:
            subprocess.run(["userdel", USER], check=True)


def _box(folder: Path, user: str) -> Iterator[Box]:
    far = folder / "far"
    far.mkdir()
    _far_dlmd(far)
    if os.getuid() == 0:
        shutil.chown(far, user, user)
    port = _free_port()
    key = _key(folder / "key")
    (folder / "authorized").write_text(f"{key}\n")
    (folder / "authorized").chmod(0o644)
    config = folder / "ssh_config"
    config.write_text(
        f"Host gpu-box\n HostName 127.0.0.1\n Port {port}\n User {user}\n"
        f" IdentityFile {folder}/key\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {folder}/known\n StrictHostKeyChecking accept-new\n"
        " LogLevel ERROR\n"
    )
    near = folder / "near"
    (near / "bin").mkdir(parents=True)
    wrapper = near / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{near / 'bin'}:{os.environ['PATH']}"
    with _sshd(folder, port):
        box = Box(user=user, folder=far, home=Home(near), path=path)
        try:
            yield box
        finally:
            box.far("stop")


def _far_dlmd(far: Path) -> None:
    """dlmd as that user has it; root's own Python may be out of that user's reach."""
    python = Path(sys.executable)
    reachable = all(
        parent.stat().st_mode & 0o001 for parent in python.resolve().parents
    )
    if not reachable:
        python = Path("/usr/bin/python3")
        here, there = sys.version_info[:2], _version(python)
        if here != there:
            pytest.skip(
                f"{USER} cannot enter {sys.executable}, and {python} is {there}"
            )
    packages = [p for p in sys.path if p.endswith("site-packages")]
    rooms = [str(ROOT / name) for name in ("daemon", "lsp", "finetune")]
    script = far / "dlmd"
    script.write_text(
        "#!/bin/sh\n"
        f"export PYTHONPATH={':'.join([*rooms, *packages])} OMP_NUM_THREADS=1\n"
        f"export DLMD_RUNTIME_DIR={far}/run DLMD_CONFIG_DIR={far}/config\n"
        f"export HOME={far}\n"
        f'exec {python} -P -m dlmd "$@"\n'
    )
    script.chmod(0o755)


def _version(python: Path) -> tuple[int, ...]:
    told = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
    )
    return tuple(map(int, told.stdout.split()))


def _key(path: Path) -> str:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path.with_suffix(".pub").read_text().strip()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class _sshd:
    """A server of our own on loopback, with keys of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        _key(folder / "host")
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/authorized\nPidFile none\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nStrictModes no\nAllowStreamLocalForwarding no\n"
            "AllowTcpForwarding no\n"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # its own privilege separation
        sshd = os.environ["SSHD"]
        self._command = [sshd, "-D", "-e", "-f", str(config)]
        # Where it was unpacked and not installed, its libraries lie beside it.
        beside = [str(p) for p in Path(sshd).parents[1].glob("lib/*-linux-gnu")]
        self._env = os.environ | {"LD_LIBRARY_PATH": ":".join(beside)}
        self._port = port
        self._log = folder / "sshd.log"

    def __enter__(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stderr=log, env=self._env)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1.0).close()
                return
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, "sshd never listened"
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)


def test_the_daemon_starts_there_and_fills_on_the_model_that_ships(box: Box) -> None:
    asked = box.dlmd(
        "infill",
        "-",
        "--connect",
        box.place(),
        stdin="def add(a, b):\n    return ⟦4⟧\n",
    )
    assert asked.code == 0, asked.err
    assert asked.out.startswith(b"def add(a, b):\n    return ")
    shown = box.far("status")
    assert b"embedded" in shown.stdout
    socket_path = box.folder / "run" / "dlmd.sock"
    if os.getuid() == 0:
        assert socket_path.stat().st_uid == pwd.getpwnam(box.user).pw_uid
    # Nothing of it runs or lies on the near side.
    assert not (box.home.folder / "run" / "daemon.json").exists()


def test_a_tunnel_killed_in_mid_stream_is_one_sentence_and_the_next_ask_works(
    box: Box,
) -> None:
    many = "x = ⟦400⟧\n"
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dlmd",
            "infill",
            "-",
            "--connect",
            box.place(),
            "--mode",
            "exact",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=box.home.env(PATH=box.path),
    ) as asking:
        assert asking.stdin is not None and asking.stderr is not None
        asking.stdin.write(many.encode())
        asking.stdin.close()
        _until_busy(box)
        os.kill(_ssh_of(asking.pid), signal.SIGKILL)
        said = asking.stderr.read().decode()
        assert asking.wait(PATIENCE_S) == 1
    assert "went away" in said and said.count("\n") == 1, said
    _until_idle(box)  # what nobody waits for is not computed to its end
    again = box.dlmd("infill", "-", "--connect", box.place(), stdin="x = ⟦2⟧\n")
    assert again.code == 0, again.err


def _until_busy(box: Box) -> None:
    _until(box, b"busy")


def _until_idle(box: Box) -> None:
    _until(box, b"ready")


def _until(box: Box, phase: bytes) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not (shown := box.far("status").stdout).startswith(phase):
        assert time.monotonic() < deadline, shown


def _ssh_of(pid: int) -> int:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"dial-stdio" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    raise AssertionError("no ssh runs")


def test_a_wrong_key_is_one_sentence(box: Box) -> None:
    key = box.home.folder.parent / "key"
    hidden = key.rename(key.with_suffix(".away"))
    try:
        refused = box.dlmd("status", "--connect", box.place())
    finally:
        hidden.rename(key)
    assert refused.code == 1 and refused.err.count("\n") == 1
    assert "Permission denied" in refused.err
