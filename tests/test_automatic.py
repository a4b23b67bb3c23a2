"""Which model `auto` is, by what is pulled and what the device has room for."""

from pathlib import Path

import pytest
from dlmd.profiles import PROFILES
from dlmd.store import automatic, shelf
from dlmd.store.automatic import PREFERRED, Choice
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
    assert automatic.candidate() == "embedded"
    assert automatic.choose(unasked) == Choice(name="embedded")


def test_another_model_pulled_changes_nothing() -> None:
    pulled("dream-v0-7b-base")
    assert automatic.choose(unasked).name == "embedded"


@pytest.mark.parametrize(
    ("free", "name", "eight_bits"),
    [
        (None, "embedded", False),
        (8 * GB, "embedded", False),
        (12 * GB, PREFERRED, True),
        (16 * GB, PREFERRED, True),
        (24 * GB, PREFERRED, False),
    ],
)
def test_the_7b_needs_a_device_with_room(
    free: int | None, name: str, eight_bits: bool
) -> None:
    pulled(PREFERRED)
    assert automatic.candidate() == PREFERRED
    assert automatic.choose(lambda: free) == Choice(name=name, eight_bits=eight_bits)


def test_who_wants_eight_bits_gets_them_with_any_room() -> None:
    pulled(PREFERRED)
    for free in (12 * GB, 80 * GB):
        chosen = automatic.choose(lambda free=free: free, eight_bits=True)  # type: ignore[misc]
        assert chosen == Choice(name=PREFERRED, eight_bits=True)


def test_what_it_needs_is_the_weights_and_something_to_work_with() -> None:
    profile = PROFILES[PREFERRED]
    assert profile.size and profile.parameters
    assert profile.size * 1.1 < automatic.needed() < profile.size * 1.2
    # The embedding stays in bf16, all that multiplies is a byte each.
    halved = profile.parameters + 152_064 * 3584
    assert halved * 1.1 < automatic.needed(eight_bits=True) < halved * 1.2
