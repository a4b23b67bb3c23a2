"""The split: whole files, the newest held out, near-clones on one side."""

import pytest
from dlmd_finetune.tasks.split import Member, clones, normal_form, split
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = "abs all any bin bool chr dict dir hash hex id int iter len list max min"
WORDS = NAMES.split()


def source(number: int) -> str:
    """Each unlike the others."""
    calls = [WORDS[number // 17**k % 17] for k in range(3)]
    inner = f"f{number}x"
    return (
        f"def f{number}({inner}):\n"
        f"    {inner}b = {calls[0]}({inner}, k{number})\n"
        f"    return {calls[1]}({inner}b) + {calls[2]}(n{number}.m{number})\n"
    )


def members(files: int = 20, each: int = 3, **changes: float) -> list[Member]:
    return [
        Member(
            key=f"m{n // each}.py::f{n}",
            path=f"m{n // each}.py",
            source=source(n),
            changed=changes.get(f"m{n // each}", float(n // each)),
        )
        for n in range(files * each)
    ]


def sides(found: list[Member], seed: int = 0) -> dict[str, str]:
    return dict(split(found, seed).of)


def test_the_newest_are_held_out_by_whole_files() -> None:
    """A third of twenty: five files would be a quarter, and too few for a verdict."""
    of = sides(members())
    held = {k.split(".")[0] for k, side in of.items() if side != "train"}
    assert held == {f"m{n}" for n in range(13, 20)}
    counts = {side: [*of.values()].count(side) for side in ("train", "dev", "test")}
    assert counts == {"train": 39, "dev": 3, "test": 18}
    files = {side: {k.split(":")[0] for k in of if of[k] == side} for side in counts}
    assert not files["dev"] & files["test"] and not files["train"] & files["test"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 8), min_size=2, max_size=25),
    st.integers(0, 5),
    st.booleans(),
)
def test_whatever_the_files_no_file_is_on_two_sides(
    sizes: list[int], seed: int, dated: bool
) -> None:
    found, n = [], 0
    for file, size in enumerate(sizes):
        for _ in range(size):
            changed = float(n % 7) if dated else None
            key, path = f"m{file}.py::f{n}", f"m{file}.py"
            found.append(Member(key=key, path=path, source=source(n), changed=changed))
            n += 1
    result = split(found, seed)
    assert result.of.keys() == {m.key for m in found}
    if result.note is None:
        trained = {m.path for m in found if result.of[m.key] == "train"}
        held = {m.path for m in found if result.of[m.key] != "train"}
        assert not trained & held
        assert 0.1 <= sum(s != "train" for s in result.of.values()) / n <= 0.5


def test_near_clones_stay_together_across_files() -> None:
    found = members()
    twin = source(0).replace("f0x", "other")
    found[-1] = Member(key="m19.py::f59", path="m19.py", source=twin, changed=19.0)
    result = split(found, 0)
    assert result.of["m0.py::f0"] == result.of["m19.py::f59"]
    assert result.clones == 2


def test_the_same_but_for_names_and_constants_is_a_clone() -> None:
    a = "def f(x):\n    y = x + 1\n    return abs(y)\n"
    b = "def g(left):\n    '''Say.'''\n    out = left + 7\n    return abs(out)\n"
    c = "def g(left):\n    out = left + 7\n    return len(out)\n"
    assert normal_form(a) == normal_form(b) != normal_form(c)


def test_mostly_the_same_tokens_are_a_clone() -> None:
    long = "".join(f"    x = step{n}(x, {n})\n" for n in range(20))
    found = [
        Member(key="a", path="a", source=f"def f(x):\n{long}", changed=None),
        Member(
            key="b", path="b", source=f"def f(x):\n{long}    return x.y\n", changed=None
        ),
        Member(key="c", path="c", source=source(3), changed=None),
    ]
    assert clones(found) == [("a", "b")]


def test_one_file_is_split_by_function_and_says_so() -> None:
    result = split(members(files=1, each=40), 0)
    assert result.note is not None and result.note.startswith("Too few files")
    assert {*result.of.values()} == {"train", "dev", "test"}


def test_without_dates_files_are_drawn_by_the_seed() -> None:
    found = [
        Member(key=m.key, path=m.path, source=m.source, changed=None) for m in members()
    ]
    assert sides(found, 1) == sides(found, 1) != sides(found, 2)


def test_one_commit_for_all_says_nothing_of_time() -> None:
    found = [
        Member(key=m.key, path=m.path, source=m.source, changed=5.0) for m in members()
    ]
    assert sides(found, 1) != sides(found, 2)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_very_few_are_split_as_far_as_they_go(count: int) -> None:
    found = members(files=count, each=1)
    assert sides(found).keys() == {m.key for m in found}


@pytest.mark.parametrize("seed", range(5))
def test_without_dates_many_small_files_are_held_out_before_few_big_ones(
    seed: int,
) -> None:
    """By chance two big files were all that a verdict could take its evidence from."""
    sizes = [24, 18, 12, 9, 8] + [2] * 15
    places = [file for file, size in enumerate(sizes) for _ in range(size)]
    found = [
        Member(
            key=f"m{file}.py::f{n}", path=f"m{file}.py", source=source(n), changed=None
        )
        for n, file in enumerate(places)
    ]
    of = sides(found, seed)
    test = {key.split(":")[0] for key, side in of.items() if side == "test"}
    assert len(test) >= 6
    assert 0.25 <= sum(side != "train" for side in of.values()) / len(of) <= 0.35
