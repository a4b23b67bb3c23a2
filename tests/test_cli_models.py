"""`dlmd pull`, `ls`, `show`, `rm` as a person types them, against a hub on loopback."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd.store import adapters, automatic, shelf
from dlmd.wire.client import Client, Endpoint
from dlmd.wire.protocol import Result

from tests.fakes.hub import COMMIT, Hub, of_folder, release, serving
from tests.fakes.pulling import NAME, OURS, SHARD
from tests.fakes.running import request
from tests.processes import DLMD, Answer, Home, Terminal

pytestmark = pytest.mark.slow
# The weights of most releases here are no tensors, so what would try them is left out.
UNTRIED = (
    sys.executable,
    "-c",
    "from dlmd.serve import checkup; checkup.checks = lambda *_, **__: iter(())\n"
    "from dlmd.cli import main; main()",
)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(files=release())) as served:
        yield served


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def dlmd(home: Home, hub: Hub, *arguments: str, offline: str = "0") -> Answer:
    return home.run(
        *arguments,
        program=UNTRIED,
        DLMD_MODELS=str(home.folder / "models"),
        HF_ENDPOINT=hub.url,
        DLMD_OFFLINE=offline,
    )


def test_from_nothing_to_pulled_to_removed(home: Home, hub: Hub) -> None:
    done = dlmd(home, hub, "pull", NAME, "--yes")
    assert (done.code, done.out.decode()) == (
        0,
        f"{NAME} is here, revision {COMMIT[:12]}\n"
        f"serve it with `dlmd serve --model {NAME}`\n",
    )
    listed = json.loads(dlmd(home, hub, "ls", "--json").out)["models"]
    assert [row["name"] for row in listed] == ["embedded", NAME]
    assert listed[1]["licence"] == "apple-amlr"
    shown = json.loads(dlmd(home, hub, "show", NAME, "--json").out)
    assert set(shown["files"]) == OURS
    assert "mask_id" in shown["unverified"]
    assert b"apple-amlr" in dlmd(home, hub, "show", NAME).out
    removed = dlmd(home, hub, "rm", NAME)
    assert (removed.code, removed.out.decode()) == (
        0,
        f"removed {NAME}, 0.6 MB freed\n",
    )
    assert NAME not in dlmd(home, hub, "ls").out.decode()
    assert NAME in dlmd(home, hub, "ls", "--all").out.decode()


def test_nobody_there_to_agree(home: Home, hub: Hub) -> None:
    done = dlmd(home, hub, "pull", NAME)
    assert done.code == 1
    question, refusal = done.err.splitlines()
    assert question == (
        f"dlmd: {NAME}: 0.6 MB from apple/DiffuCoder-7B-cpGRPO, licence apple-amlr"
    )
    assert refusal.endswith("add --yes to agree beforehand")
    assert hub.ranges("config.json") == []
    assert not (home.folder / "models").exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_it_asks_once_in_a_terminal(
    home: Home, hub: Hub, answer: str, code: int
) -> None:
    terminal = Terminal(
        home,
        *("pull", NAME),
        program=UNTRIED,
        DLMD_MODELS=str(home.folder / "models"),
        HF_ENDPOINT=hub.url,
    )
    terminal.type(f"{answer}\n")
    done = terminal.finish()
    assert done.code == code
    assert "licence apple-amlr" in done.err and "Go on? [y/N]" in done.err
    assert ("is here" in terminal.text) is (code == 0)


def test_a_pull_that_was_agreed_to_goes_on_unasked(home: Home, hub: Hub) -> None:
    hub.held = threading.Event()
    terminal = Terminal(
        home,
        *("pull", NAME, "--yes"),
        program=UNTRIED,
        DLMD_MODELS=str(home.folder / "models"),
        HF_ENDPOINT=hub.url,
    )
    assert hub.half_sent.wait(30)
    terminal.interrupt()
    stopped = terminal.finish()
    hub.held.set()
    hub.held = None
    assert (stopped.code, stopped.err.splitlines()[1:]) == (130, [])
    assert "the same command goes on from there" in stopped.err
    assert "% pulled" in dlmd(home, hub, "ls").out.decode()
    assert dlmd(home, hub, "pull", NAME).code == 0


def test_offline_by_environment_and_from_a_folder(
    home: Home, hub: Hub, tmp_path: Path
) -> None:
    refused = dlmd(home, hub, "pull", NAME, "--yes", offline="1")
    assert refused.code == 1 and "going online is forbidden" in refused.err
    source = tmp_path / "stick"
    source.mkdir()
    for name, content in hub.files.items():
        (source / name).write_bytes(content)
    given = dlmd(home, hub, "pull", NAME, "--from", str(source), "--yes", "--offline")
    assert (given.code, hub.asked) == (0, [])


def test_a_folder_has_no_revision(home: Home, hub: Hub) -> None:
    done = dlmd(home, hub, "pull", NAME, "--from", ".", "--revision", "main")
    assert (done.code, "a folder has none" in done.err) == (2, True)


def test_a_proxy_is_asked_where_one_is_set(home: Home, hub: Hub) -> None:
    """The hub's name leads nowhere: only who asks the proxy gets there."""
    named = "http://hub.invalid"
    pull = ("pull", NAME, "--yes")
    done = home.run(*pull, program=UNTRIED, HF_ENDPOINT=named, HTTP_PROXY=hub.url)
    assert done.code == 0, done.err
    assert {headers["host"] for _, _, headers in hub.asked} == {"hub.invalid"}
    alone = home.run("pull", NAME, "--yes", "--revision", "main", HF_ENDPOINT=named)
    assert alone.code == 1 and f"cannot reach {named}" in alone.err


def test_a_wrong_hash_is_one_line_and_no_model(home: Home, hub: Hub) -> None:
    hub.swapped[SHARD] = b"y" * len(hub.files[SHARD])
    done = dlmd(home, hub, "pull", NAME, "--yes")
    assert done.code == 1
    assert done.err.startswith(f"dlmd: {SHARD} came with another hash")
    assert len(done.err.splitlines()) == 1
    assert b"% pulled" in dlmd(home, hub, "ls").out


@pytest.mark.parametrize("command", ["pull", "show", "rm"])
def test_names_are_never_paths(home: Home, hub: Hub, command: str) -> None:
    (home.folder / "precious").mkdir()
    for name in ("../precious", str(home.folder / "precious"), ".", NAME + "/.."):
        done = dlmd(home, hub, command, name)
        assert done.code == 1
        assert done.err.startswith(f"dlmd: unknown model {name!r}")
    assert (home.folder / "precious").is_dir()


def test_what_ships_stays(home: Home, hub: Hub) -> None:
    assert "is part of dlmd" in dlmd(home, hub, "rm", "embedded").err
    assert "is not here" in dlmd(home, hub, "rm", NAME).err


def test_adapters_are_listed_and_removed_by_name(home: Home, tmp_path: Path) -> None:
    source = tmp_path / "tuned"
    source.mkdir()
    for file in (adapters.CONFIG, adapters.WEIGHTS):
        (source / file).write_text("{}")
    place = str(tmp_path / "adapters")

    def typed(*words: str) -> Answer:
        return home.run(*words, DLMD_ADAPTERS=place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLMD_ADAPTERS", place)
        adapters.install(source, "repo-1", base=EMBEDDED_FOLDER, base_model="embedded")
    [listed] = json.loads(typed("ls", "--adapters", "--json").out)["adapters"]
    assert (listed["name"], listed["base_model"]) == ("repo-1", "embedded")
    table = typed("ls", "--adapters").out.decode()
    assert table.splitlines()[1].split()[0] == "repo-1"
    assert "no name of an adapter" in typed("rm", "../x", "--adapter").err
    assert typed("rm", "repo-1", "--adapter").code == 0
    assert not (tmp_path / "adapters" / "repo-1").exists()


# A machine with a GPU, as far as the choice goes: all else is the real daemon, on the CPU.
ROOMY = (
    "from dlmd.serve import which; which.room = lambda device: 10**11\n"
    "from dlmd.cli import main; main()"
)
# The table, when the embedded model is the 7B: what the hub then has is sound.
SMALL = (
    "from dataclasses import replace\n"
    "from dlmd.profiles import PROFILES\n"
    f"seven = PROFILES['{NAME}']\n"
    f"PROFILES['{NAME}'] = replace(seven, mask_id=3, shape=None)\n"
    "from dlmd.cli import main; main()"
)


def pulled_beside(home: Home, files: dict[str, bytes], *daemon: str) -> Answer:
    """`dlmd pull` of a model that is sound or not, while that daemon runs."""
    with serving(Hub(files=files)) as hub, home.daemon(*daemon, "--device", "cpu"):
        small = (sys.executable, "-c", SMALL)
        pull = ("pull", NAME, "--yes")
        return home.run(*pull, program=small, HF_ENDPOINT=hub.url, DLMD_DEVICE="cpu")


def test_a_sound_model_changes_over_with_editors_open(home: Home) -> None:
    files = of_folder(EMBEDDED_FOLDER)

    async def edit(hub: Hub) -> tuple[str, str]:
        socket = home.folder / "run" / "dlmd.sock"
        async with Client.connect(Endpoint(socket=socket)) as editor:
            [*_, before] = [m async for m in editor.infill(request("1"))]
            models = [editor.status.model]
            done = await asyncio.to_thread(
                home.run,
                *("pull", NAME, "--yes"),
                program=(sys.executable, "-c", SMALL),
                HF_ENDPOINT=hub.url,
                DLMD_DEVICE="cpu",
            )
            assert "serves it now" in done.out.decode(), done
            [*_, after] = [m async for m in editor.infill(request("2"))]
            models.append(editor.status.model)
            assert isinstance(before, Result) and isinstance(after, Result)
        return models[0], models[1]

    daemon = (sys.executable, "-c", ROOMY, "serve", "--device", "cpu")
    with serving(Hub(files=files)) as hub, home.daemon(*daemon):
        assert asyncio.run(edit(hub)) == ("embedded", NAME)


def test_a_model_that_fails_its_check_stays_on_the_disk_and_out_of_use(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotary base that its weights were not trained with, by a slip in config.json."""
    files = of_folder(EMBEDDED_FOLDER)
    config = json.loads(files["config.json"]) | {"rope_theta": 1e6}
    files["config.json"] = json.dumps(config).encode()
    daemon = (sys.executable, "-c", ROOMY, "serve")
    done = pulled_beside(home, files, *daemon)
    assert done.code == 1
    assert "!!  rotary base: 10000 suits the weights better" in done.out.decode()
    assert "fails its check and is not put to use" in done.err
    listed = json.loads(home.run("ls", "--json").out)["models"]
    assert [(row["name"], row["state"]) for row in listed] == [
        ("embedded", "here"),
        (NAME, "here"),
    ]
    assert listed[1]["doubt"].startswith("rotary base: ")
    assert "here, has not passed its check" in home.run("ls").out.decode()
    # Whoever is left to choose does not take it later either, until it passes.
    monkeypatch.setenv("DLMD_MODELS", str(home.folder / ".local/share/dlmd/models"))
    assert automatic.candidate() == "embedded"
    shelf.trust(NAME)
    assert automatic.candidate() == NAME


def test_a_check_that_was_broken_off_is_made_up_for_by_the_next_pull(
    home: Home, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dlmd(home, hub, "pull", NAME, "--yes").code == 0
    monkeypatch.setenv("DLMD_MODELS", str(home.folder / "models"))
    shelf.doubt(NAME, "not tried yet")
    done = dlmd(home, hub, "pull", NAME)
    assert (done.code, shelf.doubted(NAME)) == (0, "")
    assert "serve it with" in done.out.decode()


def test_what_is_no_tensor_is_found_without_reading_on(home: Home) -> None:
    done = pulled_beside(home, release(), *DLMD, "serve")
    assert done.code == 1 and "!!  files:" in done.out.decode()


def test_without_room_the_embedded_model_goes_on(home: Home) -> None:
    done = pulled_beside(home, of_folder(EMBEDDED_FOLDER), *DLMD, "serve")
    assert done.out.decode().splitlines()[1:] == [
        f"the daemon that runs goes on with embedded; serve it with `dlmd serve --model {NAME}`"
    ]


def test_a_daemon_that_was_told_what_to_serve_stays_with_it(home: Home) -> None:
    told = (*DLMD, "serve", "--model", "embedded")
    done = pulled_beside(home, of_folder(EMBEDDED_FOLDER), *told)
    assert "goes on as it was: this daemon was told to serve embedded" in str(done.out)
