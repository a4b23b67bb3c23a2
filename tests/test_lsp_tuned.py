"""dlmd_lsp.tuned over stdio and a daemon's socket: each repository is asked with its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd.store import adapters
from dlmd_lsp.tuned import RESTS_S, Tuned

from tests.fakes.running import daemon
from tests.lsp_rig import Editor, editing

FAKE = "fake"  # as the fake model calls itself


def tuned_on(repository: Path, home: Path, model: str = FAKE) -> str:
    """An adapter's folder as activation leaves it; its weights are never read here."""
    repository.mkdir(parents=True, exist_ok=True)
    name = adapters.name_for(repository)
    folder = home / name
    folder.mkdir(parents=True)
    for file in (adapters.CONFIG, adapters.WEIGHTS):
        (folder / file).write_bytes(b"{}")
    note = {"base_sha256": "0", "base_model": model, "created": 0}
    (folder / adapters.NOTE).write_text(json.dumps(note))
    return name


def test_one_that_was_refused_rests_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLMD_ADAPTERS", str(tmp_path / "adapters"))
    name = tuned_on(tmp_path / "repo", tmp_path / "adapters")
    found, file = Tuned(), tmp_path / "repo" / "deep" / "a.py"
    assert found.adapter_of(file, FAKE, 0.0) == name
    assert found.adapter_of(file, "another", 0.0) is None
    assert found.adapter_of(tmp_path / "a.py", FAKE, 0.0) is None
    found.refused(name, 0.0)
    assert found.adapter_of(file, FAKE, RESTS_S - 1) is None
    assert found.adapter_of(file, FAKE, RESTS_S) == name


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Path]:
    """Three repositories: two with adapters that the daemon has, one with one it has not."""
    home = tmp_path / "adapters"
    known = {
        tuned_on(tmp_path / "one", home): "first(1)",
        tuned_on(tmp_path / "other", home): "second(2)",
    }
    tuned_on(tmp_path / "gone", home)
    fills = tmp_path / "fills.json"
    fills.write_text(json.dumps(known))
    folder = tmp_path / "r"
    folder.mkdir(mode=0o700)
    options = ("--adapters", str(fills), "--default", "bare(0)")
    with daemon(folder, *options):
        yield tmp_path


async def answered(editor: Editor, file: Path) -> list[str]:
    editor.uri = file.as_uri()
    return await editor.inserted(editor.open("x = |\n"))


@pytest.mark.slow
async def test_two_workspaces_get_their_own(places: Path) -> None:
    env = {"DLMD_ADAPTERS": str(places / "adapters")}
    async with (
        editing(places / "r", extra_env=env) as one,
        editing(places / "r", extra_env=env) as other,
    ):
        # In turns, so that the daemon has to change between them.
        for number in range(2):
            first = places / "one" / "src" / f"{number}.py"
            assert await answered(one, first) == ["first(1)"]
            assert await answered(other, places / "other" / f"{number}.py") == [
                "second(2)"
            ]
            # Nothing was tuned for a file that stands elsewhere.
            assert await answered(one, places / f"{number}.py") == ["bare(0)"]
        sent = await other.run("dlmd.whatWasSent")
        name = adapters.name_for(places / "other")
        assert f"with the adapter {name}" in sent["text"]
        one.uri = (places / "one" / "b.py").as_uri()
        at = one.open("def f(a):\n    |\n")
        assert await one.filled(at) == {"applied": True}
        assert one.text == "def f(a):\n    first(1)\n"


@pytest.mark.slow
async def test_what_the_daemon_does_not_have_is_left_out(places: Path) -> None:
    env = {"DLMD_ADAPTERS": str(places / "adapters")}
    async with editing(places / "r", extra_env=env) as editor:
        assert await answered(editor, places / "gone" / "a.py") == ["bare(0)"]
        assert "asked without the adapter" in editor.logged
        assert await answered(editor, places / "gone" / "b.py") == ["bare(0)"]
        assert editor.logged.count("asked without") == 1 and editor.shown == []
