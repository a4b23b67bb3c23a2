"""Stubs and mutants: wrong fills that compile, and differ from what stands there."""

import ast

import pytest
from dlmd_finetune.tasks.inventory import Function, inventory
from dlmd_finetune.tasks.stubs import MUTANTS, Edit, apply, mutants, stubs

SOURCE = """\
def grade(points, best):
    share = points / best
    if share > 0.5 and not best == 0:
        for n in range(3):
            share += n
            break
        return [share, True]
    return None


class Box:
    def __init__(self, items):
        self.items = list(items)
        self.first, self.rest = items[0], items[1:]


def each(items):
    for item in items:
        yield item
"""


def functions(text: str = SOURCE) -> dict[str, Function]:
    return {f.name: f for f in inventory("m.py", text)[0]}


def filled(
    level: str, kind: str = "", name: str = "grade"
) -> dict[str, dict[str, str]]:
    """For each hole of a level its text, and the fills by name."""
    function = functions()[name]
    return {
        SOURCE[h.start : h.end]: {
            e.name: e.text for e in stubs(SOURCE, function, h, ("list",))
        }
        for h in (function.body, *function.parts)
        if h.level == level and kind in h.kind
    }


def test_a_body_is_stubbed_four_ways() -> None:
    [fills] = filled("body").values()
    assert fills == {
        "raise": "raise NotImplementedError",
        "pass": "pass",
        "return None": "return None",
        "constant": "return []",
    }


def test_a_constructor_returns_nothing() -> None:
    [fills] = filled("body", name="Box.__init__").values()
    assert fills.keys() == {"raise", "pass"}


def test_a_generator_is_stubbed_by_an_empty_one() -> None:
    [fills] = filled("body", name="each").values()
    assert fills["constant"] == "return iter(())"


def test_a_statement_is_stubbed_by_its_kind() -> None:
    assert filled("statement", "Assign")["share = points / best"]["constant"] == (
        "share = None"
    )
    assert filled("statement", "Return")["return [share, True]"].keys() == {
        *("raise", "pass", "return None", "constant")
    }


def test_what_the_hole_says_itself_is_no_stub() -> None:
    assert filled("statement", "Return")["return None"].keys() == {
        *("raise", "pass", "constant")
    }


@pytest.mark.parametrize("name", ["grade", "Box.__init__", "each"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_mutants_compile_and_change_one_thing(
    name: str, mark: str, ending: str
) -> None:
    text = mark + SOURCE.replace("\n", ending)
    function = functions(text)[name]
    found = mutants(text, function, 0)
    assert 0 < len(found) <= MUTANTS
    for edit in found:
        changed = apply(text, edit)
        assert ast.dump(ast.parse(changed.removeprefix("\ufeff"))) != ast.dump(
            ast.parse(text.removeprefix("\ufeff"))
        )
        assert changed[: edit.start] == text[: edit.start]
        assert function.body.start <= edit.start < edit.end <= function.body.end


def test_mutants_are_drawn_by_the_seed() -> None:
    function = functions()["grade"]
    draws = [mutants(SOURCE, function, seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a < b", "(a <= b)"),
        ("a + b", "(a - b)"),
        ("a and b", "(a or b)"),
        ("not a", "(a)"),
        ("7", "8"),
        ("True", "False"),
    ],
)
def test_a_mutant_is_a_little_wrong(before: str, after: str) -> None:
    text = f"def f(a, b):\n    c = 'x'\n    return {before}\n"
    changed = {apply(text, e) for e in mutants(text, functions(text)["f"], 0)}
    assert text.replace(before, after) in changed


def test_an_edit_replaces_its_piece() -> None:
    assert apply("abc", Edit(name="", start=1, end=2, text="X")) == "aXc"
