"""Which holes are measured, and how times are summed up."""

from pathlib import Path

import pytest
from dlmd.bench.places import encoder, percentile, places, sources, spread
from dlmd.profiles import EMBEDDED_FOLDER


def words(text: str) -> int:
    return len(text.split())


TEXT = "".join(f"    name_{n} = call ( {n} )  # why\n" for n in range(400))
LINE = 8  # words


def test_holes_are_distinct_and_have_the_context_that_was_asked_for() -> None:
    other = TEXT.replace("name", "other")
    found = list(places([TEXT, other], 20, 60, words))
    assert len({place.before for place in found}) == 20
    for place in found:
        assert place.context == words(place.before) + words(place.after)
        assert 60 <= place.context <= 60 + 2 * LINE
        assert place.before + place.code + place.after in TEXT + other
        assert place.before.endswith("\n    ") and place.after.startswith("\n")


@pytest.mark.parametrize("prefix", [0.1, 0.5, 0.9])
def test_the_text_lies_before_and_after_as_was_asked_for(prefix: float) -> None:
    for place in places([TEXT], 5, 200, words, prefix=prefix):
        assert 0 <= words(place.before) - 200 * prefix <= LINE
        assert 0 <= words(place.after) - 200 * (1 - prefix) <= LINE


def test_comments_and_empty_lines_are_no_holes() -> None:
    text = "x = 1\n# no\n\n" * 40
    for place in places([text, ""], 10, 10**6, words):
        assert place.code == "x = 1"
    with pytest.raises(ValueError, match="1000 distinct holes were asked for"):
        list(places([text], 1000, 4, words))


def test_percentiles_by_nearest_rank() -> None:
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
    assert spread([float(n) for n in range(1, 201)]) == {
        "p50": 100.0,
        "p95": 190.0,
        "p99": 198.0,
    }


def test_the_standard_library_has_more_holes_than_anybody_measures() -> None:
    assert len(list(places(sources(), 1000, 1, words))) == 1000


def test_files_of_the_user_instead(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("é = 1\n", encoding="utf-8")
    assert sources([tmp_path / "a.py"]) == ["é = 1\n"]
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"b is not UTF-8 text \(byte 0\)"):
        sources([tmp_path / "b"])


def test_tokens_are_counted_as_the_model_does_or_as_the_shipped_one(
    tmp_path: Path,
) -> None:
    assert encoder(tmp_path)("def f(x):") == encoder(EMBEDDED_FOLDER)("def f(x):")
