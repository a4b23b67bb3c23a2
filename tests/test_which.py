"""Names, paths and `auto`: which folder each stands for, and what each refusal says."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd.serve import which
from dlmd.store import automatic, pull

from tests.fakes.hub import Hub, own_places, release, serving

SEVEN = automatic.PREFERRED


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    own_places(monkeypatch, tmp_path)
    with serving(Hub(files=release(size=1000))) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def test_auto_is_the_embedded_model_until_the_7b_is_pulled(hub: Hub) -> None:
    for answer in (which.named, which.configured):
        assert answer("auto").folder == EMBEDDED_FOLDER
        assert answer("auto").name == "embedded"
    assert which.with_room("auto", "cpu").folder == EMBEDDED_FOLDER
    assert hub.asked == []  # never a silent download


def test_pulled_it_is_named_and_found_by_its_profile(hub: Hub) -> None:
    list(pull.carry_out(pull.plan(SEVEN)))
    for word in (SEVEN, hub.repository, "auto"):
        found = which.configured(word)
        assert (found.name, found.profile.name) == (SEVEN, SEVEN)
        assert (found.folder / "config.json").exists()


@pytest.mark.parametrize(
    ("free", "name", "eight_bits"),
    [
        (None, "embedded", False),
        (10**9, "embedded", False),
        (12 * 10**9, SEVEN, True),
        (10**11, SEVEN, False),
    ],
)
def test_auto_takes_it_only_where_it_fits(
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    free: int | None,
    name: str,
    eight_bits: bool,
) -> None:
    list(pull.carry_out(pull.plan(SEVEN)))
    monkeypatch.setattr(which, "room", lambda device: free)
    found = which.with_room("auto", "auto")
    assert (found.name, found.eight_bits) == (name, eight_bits)
    assert which.with_room(SEVEN, "auto").name == SEVEN  # who names it gets it


def test_a_cpu_has_no_room_to_speak_of() -> None:
    assert which.room("cpu") is None


def test_a_model_that_is_not_here_says_what_to_type(hub: Hub) -> None:
    said = rf"type `dlmd pull {SEVEN}` \(15\.2 GB, licence: apple-amlr\)"
    for answer in (which.named, which.configured):
        with pytest.raises(ValueError, match=said):
            answer(SEVEN)


def test_a_path_is_a_setting_and_never_a_name(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(EMBEDDED_FOLDER, folder)
    found = which.configured(str(folder))
    assert (found.name, found.folder) == (str(folder), folder)
    for word in (str(folder), "../mine", "/", "~", "nope", ""):
        with pytest.raises(ValueError, match="unknown model"):
            which.named(word)


def test_a_path_that_leads_nowhere_says_so(hub: Hub) -> None:
    with pytest.raises(ValueError, match=r"it has no config\.json"):
        which.configured("/nowhere/at-all")
