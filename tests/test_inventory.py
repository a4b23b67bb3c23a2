"""Functions and holes from syntax: what is cut out is what stands there, in any line ends."""

import ast
import re
from pathlib import Path

import pytest
from dlmd_finetune.tasks.inventory import Function, inventory

SOURCE = '''\
def first(x):
    """Say it."""
    y = x + 1
    return y


class Stack:
    @property
    def top(self):
        if self.items:
            last = self.items[-1]
            return last
        return None

    def push(self, item): self.items.append(item)


def one(x):
    return x


async def later(x):
    for each in x:
        await each
    return "ü", x


def nothing():
    """Not yet."""
    raise NotImplementedError


def outer():
    def inner(a):
        b = a
        return b
    return inner
'''


def named(text: str) -> dict[str, Function]:
    return {each.name: each for each in inventory("m.py", text)[0]}


def cut(text: str, function: Function, level: str) -> list[str]:
    holes = [function.body, *function.parts]
    return [text[h.start : h.end] for h in holes if h.level == level]


def test_functions_are_found_and_the_others_say_why() -> None:
    found, refused = inventory("m.py", SOURCE)
    assert [each.name for each in found] == ["first", "Stack.top", "later", "outer"]
    assert {each.name: each.reason for each in refused} == {
        "m.py:Stack.push": "stands on one line",
        "m.py:one": "has a body of one line",
        "m.py:nothing": "has no body of its own",
    }


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_holes_hold_what_stands_there(ending: str, mark: str) -> None:
    text = mark + SOURCE.replace("\n", ending)
    found = named(text)
    assert cut(text, found["first"], "body") == [f"y = x + 1{ending}    return y"]
    assert cut(text, found["first"], "statement") == ["y = x + 1", "return y"]
    top = found["Stack.top"]
    block = f"last = self.items[-1]{ending}            return last"
    assert cut(text, top, "block") == [block]
    assert cut(text, top, "statement")[-1] == "return None"
    assert top.opens == SOURCE[: SOURCE.index("@property")].count("\n") + 1
    assert cut(text, found["later"], "statement") == ["await each", 'return "ü", x']


def test_what_stands_in_a_function_inside_is_part_of_the_outer_one() -> None:
    found = named(SOURCE)
    assert cut(SOURCE, found["outer"], "statement") == ["return inner"]


def test_a_decorated_function_inside_is_cut_with_its_decorator() -> None:
    text = "def f(g):\n    @g\n    def h():\n        pass\n    return h\n"
    assert cut(text, named(text)["f"], "body")[0].startswith("@g")


def test_statements_that_share_a_line_are_no_holes() -> None:
    text = "def f(x):\n    a = 1; b = 2\n    if x: return a; return b\n    return b  # so\n"
    assert cut(text, named(text)["f"], "statement") == ["return b"]


def test_elif_is_no_block() -> None:
    text = "def f(x):\n    if x:\n        return 1\n    elif x is None:\n        a = 2\n        return a\n    return 3\n"
    blocks = cut(text, named(text)["f"], "block")
    assert blocks == ["a = 2\n        return a"]


@pytest.mark.parametrize("text", ["def f(:", "x = '\0'", "(" * 500])
def test_what_does_not_parse_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"m\.py does not parse: "):
        inventory("m.py", text)


def test_long_functions_are_left_out() -> None:
    many = "def f(x):\n" + "    x += 1\n" * 41
    wide = f"def f(x):\n    y = '{'a' * 1700}'\n    return y\n"
    reasons = [inventory("m.py", text)[1][0].reason for text in (many, wide)]
    assert reasons == ["is longer than 40 lines", "is longer than 1600 characters"]


def test_generators_are_known() -> None:
    text = "def f(x):\n    for y in x:\n        yield y\n"
    assert named(text)["f"].generator and not named(SOURCE)["first"].generator


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bisect", "cmd", "csv", "shlex", "textwrap"])
def test_every_hole_can_be_closed_again(name: str) -> None:
    path = Path(ast.__file__).with_name(f"{name}.py")
    text = path.read_bytes().decode()
    for function in inventory(path.name, text)[0]:
        for hole in (function.body, *function.parts):
            assert not re.match(r"\s|$", text[hole.start :])
            line = text.rfind("\n", 0, hole.start) + 1
            assert not text[line : hole.start].strip()
            assert function.opens <= hole.first <= hole.last <= function.last
            ast.parse(f"{text[: hole.start]}pass{text[hole.end :]}")
            break
