"""Which model `auto` is, by what is pulled and what the device has room for."""

from pathlib import Path

import pytest
from dlmd.profiles import PROFILES
from dlmd.store import automatic, shelf
from dlmd.store.shelf import File, Record

from tests.fakes.hub import own_places

GB = 10**9


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_places(monkeypatch, tmp_path)


def pulled(name: str) -> None:
    shelf.models_dir().mkdir()
    files = {"config.json": File(size=2, sha256="b" * 64)}
    repository = str(PROFILES[name].repository)
    shelf.write(
        Record(
            name=name,
            repository=repository,
            revision="a" * 40,
            licence="",
            files=files,
        )
    )


def unasked() -> int:
    raise AssertionError("the device must not be asked")


def test_nothing_pulled_is_the_embedded_one_and_no_device_is_asked() -> None:
    assert automatic.choose(unasked) == automatic.candidate() == "embedded"


def test_another_model_pulled_changes_nothing() -> None:
    pulled("dream-v0-7b-base")
    assert automatic.choose(unasked) == "embedded"


@pytest.mark.parametrize(
    ("free", "name"),
    [
        (None, "embedded"),
        (8 * GB, "embedded"),
        (16 * GB, "embedded"),
        (24 * GB, automatic.PREFERRED),
    ],
)
def test_the_7b_needs_a_device_with_room(free: int | None, name: str) -> None:
    pulled(automatic.PREFERRED)
    assert automatic.candidate() == automatic.PREFERRED
    assert automatic.choose(lambda: free) == name


def test_what_it_needs_is_the_weights_and_something_to_work_with() -> None:
    weights = PROFILES[automatic.PREFERRED].size
    assert weights and weights * 1.1 < automatic.needed() < weights * 1.2
