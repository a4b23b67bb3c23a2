"""A pulled model from its files to a fill: named, checked at each load, changed while serving."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd.serve import which
from dlmd.serve.backend import ModelBackend
from dlmd.serve.engine import Engine
from dlmd.settings import Settings
from dlmd.store import automatic, pull, shelf, verify
from dlmd.wire.protocol import Failure, Result, UseModel, hole

from tests.fakes.hub import Hub, of_folder, own_places, serving
from tests.fakes.running import request
from tests.fakes.tiny import tiny_model_folder

pytestmark = pytest.mark.slow
NAME = automatic.PREFERRED


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub whose 7B is a tiny model: only names and hashes are those of a release."""
    own_places(monkeypatch, tmp_path)
    tiny = of_folder(tiny_model_folder(tmp_path / "tiny"))
    with serving(Hub(files=tiny)) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def pulled() -> Path:
    list(pull.carry_out(pull.plan(NAME)))
    folder = shelf.find(NAME)
    assert folder is not None
    return folder


class Served:
    """An engine on the real backend, stepped by hand."""

    def __init__(self, model: str) -> None:
        self.engine = Engine(ModelBackend(Settings(model=model, device="cpu")))
        self.engine.load()
        self.said: list[object] = []

    def steps(self) -> object:
        while self.engine.step():
            pass
        return self.said[-1]

    def ask(self) -> object:
        asked = request("a", "def f(", hole(length=3), ")")
        self.engine.submit("c", asked, self.said.append)
        return self.steps()

    def use(self, model: str) -> object:
        self.engine.command("c", UseModel(id="u", model=model), self.said.append)
        return self.steps()


def test_a_pulled_model_serves_under_its_name(hub: Hub) -> None:
    pulled()
    served = Served(NAME)
    assert served.engine.status.phase == "ready", served.engine.status.detail
    assert served.engine.status.model == NAME
    assert isinstance(served.ask(), Result)


def test_a_tampered_file_does_not_load(hub: Hub) -> None:
    path = pulled() / "model.safetensors"
    seen = path.stat()
    with path.open("r+b") as file:  # one bit of one weight; size and time as before
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    status = Served(NAME).engine.status
    assert status.phase == "failed"
    assert "it is not what was pulled" in status.detail
    assert f"`dlmd pull {NAME}`" in status.detail


def test_without_the_check_it_would_load(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pulled() / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    monkeypatch.setattr(verify, "check", lambda folder: None)
    assert isinstance(Served(NAME).ask(), Result)


def test_a_planted_file_does_not_load(hub: Hub) -> None:
    (pulled() / "tokenizer_config.json").write_text('{"mask_token": "x"}')
    assert "was not pulled" in Served(NAME).engine.status.detail


def test_auto_changes_over_with_what_waits(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served("auto")
    assert served.engine.status.model == "embedded"
    pulled()
    monkeypatch.setattr(which, "room", lambda device: 10**11)
    assert isinstance(served.use("auto"), Result)
    assert served.engine.status.model == NAME
    assert isinstance(served.ask(), Result)


def test_auto_stays_where_there_is_no_room(hub: Hub) -> None:
    pulled()
    served = Served("auto")  # on a CPU
    assert served.engine.status.model == "embedded"
    assert isinstance(served.use("auto"), Result)
    assert served.engine.status.model == "embedded"


def test_who_was_told_what_to_serve_does_not_choose(hub: Hub) -> None:
    served = Served("embedded")
    pulled()
    refused = served.use("auto")
    assert isinstance(refused, Failure)
    assert "was told to serve embedded" in refused.message
    assert isinstance(served.use(NAME), Result)
    assert served.engine.status.model == NAME


@pytest.mark.parametrize("model", ["../..", "/etc", str(EMBEDDED_FOLDER), "~", ""])
def test_a_client_cannot_name_a_path(hub: Hub, model: str) -> None:
    served = Served("embedded")
    refused = served.use(model)
    assert isinstance(refused, Failure)
    assert "unknown model" in refused.message
    assert isinstance(served.ask(), Result)


def test_if_names_could_be_paths_a_client_would_choose_any_folder(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tiny_model_folder(tmp_path / "planted by another user")
    served = Served("embedded")
    assert isinstance(served.use(str(planted)), Failure)
    monkeypatch.setattr(which, "named", which.configured)
    assert isinstance(served.use(str(planted)), Result)
    assert served.engine.status.model == str(planted)


def test_what_cannot_be_loaded_leaves_the_one_before(hub: Hub, tmp_path: Path) -> None:
    own = tiny_model_folder(tmp_path / "own", seed=1)
    path = pulled() / "model.safetensors"
    path.write_bytes(b"x" * path.stat().st_size)
    served = Served(str(own))
    refused = served.use(NAME)
    assert isinstance(refused, Failure)
    assert "it is not what was pulled" in refused.message
    assert served.engine.status.model == str(own)
    assert isinstance(served.ask(), Result)
