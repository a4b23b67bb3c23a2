"""The live view, read as text: what is settled, what is new, what is masked, who speaks."""

import io

import pytest
from dlmd.terminal import (
    excerpt,
    finished,
    printable,
    row,
    segments,
    spoken,
    view,
)
from dlmd.wire.protocol import Candidate, Result, State, Status, Usage, hole
from msgspec.structs import replace
from rich.console import Console, RenderableType

STATUS = Status(phase="ready", model="embedded", profile="embedded", device="cpu")
PARTS = (
    "one\ntwo\nthree\nfour\ndef f():\n    ",
    hole(),
    "\n\nafter\nmore\nstill\nfar\n",
)


def drawn(renderable: RenderableType, *, color: bool = False) -> str:
    out = io.StringIO()
    plain = Console(file=out, width=100, color_system=None, force_terminal=False)
    tinted = Console(file=out, width=100, color_system="standard", force_terminal=True)
    (tinted if color else plain).print(renderable)
    return out.getvalue()


def state(step: int, *pieces: str | int, of: int = 4) -> State:
    confidence = [0.9 if isinstance(piece, str) else 0.0 for piece in pieces]
    return State(
        id="1", step=step, of=of, holes=[list(pieces)], confidence=[confidence]
    )


def test_a_state_shows_lines_around_the_hole_with_their_numbers() -> None:
    text = drawn(view(excerpt(PARTS), STATUS, None, state(2, "return ", 3, of=4)))
    assert text.splitlines() == [
        "dlmd embedded on cpu",
        "3 │ three",
        "4 │ four",
        "5 │ def f():",
        "6 │     return ░░░",
        "7 │ ",
        "8 │ after",
        "9 │ more",
        "step 2 of 4 ━━━━━━━━━━━━━━━━━━━━━━━━ 3 masked confidence 0.90",
    ]


def test_a_fill_of_several_lines_moves_the_numbers_below_it() -> None:
    text = drawn(
        view(excerpt(("x\n", hole(), "\ny")), STATUS, None, state(1, "a\nb\n", 1))
    )
    assert "2 │ a\n3 │ b\n4 │ ░\n5 │ y" in text


def test_between_distant_holes_lines_are_left_out_and_counted() -> None:
    parts = (
        "a",
        hole(),
        "".join(f"\nline {n}" for n in range(2, 21)) + " ",
        hole(),
        "\nend",
    )
    seen = State(id="1", step=1, of=1, holes=[["X"], [2]])
    lines = drawn(view(excerpt(parts, lines=1), STATUS, None, seen)).splitlines()
    assert lines[1:7] == [
        " 1 │ aX",
        " 2 │ line 2",
        "   │ ⋮",
        "19 │ line 19",
        "20 │ line 20 ░░",
        "21 │ end",
    ]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([], [2, "a"], [("░░", "mask"), ("a", "new")]),
        ([3], ["ab"], [("ab", "new")]),
        (["a", 2], ["a b", 1], [("a", "old"), (" b", "new"), ("░", "mask")]),
        ([2, "c"], ["ab", 1, "c"], [("ab", "new"), ("░", "mask"), ("c", "old")]),
        ([5, ")"], ["f()", 2, ")"], [("f()", "new"), ("░░", "mask"), (")", "old")]),
        (
            ["a", 1, "b", 1, "c"],
            ["axbyc"],
            [("a", "old"), ("x", "new"), ("b", "old"), ("y", "new"), ("c", "old")],
        ),
        (["ab"], ["ab"], [("ab", "old")]),
    ],
)
def test_what_has_settled_since_the_last_state(
    before: list[str | int], now: list[str | int], expected: list[tuple[str, str]]
) -> None:
    assert [piece for piece in segments(before, now) if piece[0]] == expected


def test_new_text_is_tinted_and_settled_text_is_not() -> None:
    shown = excerpt(PARTS)
    text = drawn(
        view(shown, STATUS, state(1, "alpha", 4), state(2, "alpha beta", 2)), color=True
    )
    tinted = text.split("alpha")[1].split("░")[0]
    assert "\x1b[1;30;42m beta" in tinted
    assert "\x1b[2m░░" in text


def test_the_result_is_drawn_without_masks_and_with_its_figures() -> None:
    usage = Usage(forwards_full=5, steps=4, ms_first_state=12.4, ms_total=80.2)
    best = Candidate(holes=["return 1"], confidence=0.5, finish="stop")
    text = drawn(
        finished(excerpt(PARTS), STATUS, Result(id="1", candidates=[best], usage=usage))
    )
    assert "6 │     return 1\n" in text
    assert text.endswith(
        "4 steps, 5 forwards, first state 12 ms, total 80 ms, confidence 0.50\n"
    )


def test_a_large_model_is_named_with_its_profile_and_adapter() -> None:
    status = Status(
        phase="ready",
        model="/m/x",
        profile="dreamon-7b",
        adapter="mine",
        device="cuda:0",
    )
    text = drawn(view(excerpt(PARTS), status, None, None))
    assert text.startswith("dlmd /m/x on cuda:0 as dreamon-7b + mine\n")


def test_while_the_model_loads_the_view_says_how_far() -> None:
    status = Status(
        phase="loading",
        model="m",
        device="cpu",
        bytes_done=10**6,
        bytes_total=10**7,
        eta_s=3,
    )
    text = drawn(view(excerpt(PARTS), status, None, None))
    assert text.endswith("loading the model: 1.0 of 10.0 MB, 3 s left\n")


def test_control_characters_of_a_file_or_a_model_never_reach_the_terminal() -> None:
    assert printable("a\x1b[2J\u202eb\tc\r\n\x9b") == "a\ufffd[2J\ufffdb    c\n\ufffd"
    parts = ("\x1b[31m", hole(), "")
    assert "\x1b" not in drawn(
        view(excerpt(parts), STATUS, None, state(1, "\x07\x1b]0;t\x07"))
    )


def test_a_file_of_one_endless_line_is_cut_where_the_hole_is_not() -> None:
    shown = excerpt(("x" * 5_000_000 + "<", hole(), ">" + "y" * 5_000_000))
    text = drawn(view(shown, STATUS, None, state(1, 1))).replace("\n", "")
    assert "x<░>y" in text
    assert len(text) < 600


def test_a_long_run_is_drawn_short_and_counted() -> None:
    assert list(segments([], [100])) == [("░" * 40 + "(100)", "mask")]


def test_a_row_of_ps() -> None:
    ready = Status(phase="ready", model="m", device="cuda:0", memory=15_231_233_024)
    shown = row(ready, 3, 0.0)
    assert (shown["MEMORY"], shown["UNTIL"], shown["CLIENTS"]) == (
        *("15.2 GB", "for ever", "3"),
    )
    assert row(replace(ready, until=150.0), 0, 100.0)["UNTIL"] == "50 s from now"
    assert row(replace(ready, until=100.0), 0, 900.0)["UNTIL"] == "0 s from now"
    idle = row(Status(phase="idle", model="m"), 0, 0.0)
    assert (idle["MEMORY"], idle["UNTIL"], idle["ADAPTER"]) == ("-", "-", "-")


def test_times_for_people() -> None:
    said = [spoken(s) for s in (0, 119, 600, 7200, 200_000)]
    assert said == ["0 s", "119 s", "10 min", "2 h", "2 d"]
