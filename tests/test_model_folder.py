"""Which weights a word means to `dlmd eval` and `dlmd tune`: as to the daemon."""

from pathlib import Path

import pytest
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd.store import shelf
from dlmd_finetune.choices import TuneConfig, told
from dlmd_finetune.evidence.asking import model_folder

NAME, REVISION = "dreamon-7b", "0" * 40


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_the_model_that_ships_has_a_name() -> None:
    assert model_folder("embedded") == EMBEDDED_FOLDER


def test_a_pulled_model_goes_by_its_name(models: Path) -> None:
    record = shelf.Record(
        name=NAME,
        repository="Dream-org/DreamOn-v0-7B",
        revision=REVISION,
        licence="as stated",
        files={"config.json": shelf.File(size=2, sha256="b" * 64)},
    )
    models.mkdir()
    shelf.write(record)
    assert model_folder(NAME) == models / NAME / REVISION
    assert model_folder(NAME.upper()) == models / NAME / REVISION


def test_one_that_was_not_pulled_says_how() -> None:
    with pytest.raises(ValueError, match=f"not here; type `dlmd pull {NAME}`"):
        model_folder(NAME)


def test_a_folder_is_the_same_wherever_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_folder("mine") == tmp_path / "mine"
    run = told(TuneConfig(repo=tmp_path, model="mine"))
    monkeypatch.chdir("/")
    assert run["model"] == str(tmp_path / "mine") == str(model_folder(run["model"]))


def test_what_is_neither_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no model folder at .*gone; give `embedded`"):
        model_folder(str(tmp_path / "gone"))
