"""The syntax rules: spellings that walk round them are refused, and honest code is not."""

from textwrap import indent

import pytest
from dlmd_finetune.sandbox.policy import Change, judge
from dlmd_finetune.sandbox.room import PolicyFault

FILE = """import collections
import math
from operator import attrgetter as by

kind_of = type
LIMITS = {{}}


class Box:
    pass


def work(text, open=None, *more):
{body}


def other():
    return 1
"""


def judged(body: str, before: str = "pass") -> Change | PolicyFault:
    texts = [FILE.format(body=indent(each, "    ")) for each in (before, body)]
    return judge(*texts)


@pytest.mark.parametrize(
    "body",
    [
        "import os",
        "t = type\nreturn t('K', (str,), {})",
        "return kind_of('K', (str,), {})",
        "return type(type(text))('K', (str,), {})",
        "k = type(text)\nreturn type(k)('K', (str,), {})",
        "return type(*['K', (str,), {}])",
        "return [type][0]('K', (str,), {})",
        "return type.__call__(type, 'K', (str,), {})",
        "return list[type].__args__[0]",
        "return str.__class__('K', (str,), {})",
        "match str:\n    case object(__class__=k): return k('K', (str,), {})",
        "(lambda getattr: 0)(1)\nreturn getattr(text, 'tb_' + 'frame')",
        "[0 for eval in ()]\nreturn eval(text)",
        "def g(globals): pass\nreturn globals()",
        "return [getattr for getattr in [getattr]][0](text, 'tb_frame')",
        "g = getattr\nreturn g(text, 'tb_frame')",
        "return getattr(*(text, 'tb_frame'))",
        "return getattr(text, 'tb_frame')",
        "return by('tb_frame')(text)",
        "return by(text)(text)",
        "return '{0.__traceback__.tb_frame.f_back.f_locals[x]}'.format(text)",
        "return ('{0.__trace' + 'back__}').format(text)",
        "f = str.format\nreturn f(text)",
        "match text:\n    case ValueError(__traceback__=t): return t",
        "m = collections\nreturn m._sys",
        "return collections._sys",
        "from collections import _sys as s\nreturn s",
        "from test.support import ALWAYS_EQ\nreturn ALWAYS_EQ",
        "from .tests import test_words\nreturn test_words",
        "m = math\nm.isclose = None",
        "math.isclose = None",
        "with text as math.isclose: pass",
        "[0 for math.isclose in [None]]",
        "limits = LIMITS\nlimits[1] = 2",
        "k = Box\nk.__eq__ = None",
        "[Box][0].x = 1",
        "import collections as c\nc.x = 1",
        "text.__class__ = Box",
        "import abc\nreturn abc.ABCMeta('A', (str,), {'__eq__': lambda a, b: True})()",
        "from enum import EnumMeta as m\nreturn m('A', (str,), {})",
        "import tokenize\nreturn tokenize.open('tests/test_words.py').read()",
        "import codecs as c\nreturn c.open('tests/test_words.py').read()",
        "from codecs import open as o\nreturn o(text)",
        "import argparse\nreturn argparse.FileType()('tests/test_words.py').read()",
        "import fileinput\nreturn list(fileinput.input('tests/test_words.py'))",
        "import timeit\nreturn timeit.timeit('import os')",
        "import cProfile\nreturn cProfile.run('import os')",
        "import _frozen_importlib_external as f\nreturn f.SourceFileLoader",
        "import typing\nreturn typing.ForwardRef('eval')._evaluate({}, {}, set())",
        "from typing import get_type_hints as g\ndef f(x: 'eval'): pass\nreturn g(f)",
        "import dataclasses\nreturn dataclasses._create_fn('f', (), ['return 1'])",
        "text.__class__.x = 1",
        "k = text.__class__\nk.x = 1",
        "k = type(text)\nk.x = 1",
        "k, n = Box, 1\nk.x = n",
        "k = Box if text else Box\nk.x = 1",
        "k = (Box, 1)[0]\nk.x = 1",
        "for k in [Box]: k.x = 1",
        "for k, n in [(Box, 1)]: k.x = n",
        "def g(k=Box): k.x = 1\ng()",
        "def g(*, k=Box): k.x = 1\ng()",
        "class K(str): pass",
        "global LIMITS",
    ],
)
def test_what_reaches_further_is_a_fault(body: str) -> None:
    outcome = judged(body)
    assert isinstance(outcome, PolicyFault), outcome
    assert "uses what the original did not" in outcome.reason


@pytest.mark.parametrize(
    "body",
    [
        "return open(text)",  # an argument of its own
        "return isinstance(text, type) or issubclass(text, (type, str))",
        "return type(text) is str and type(text) == type(more)",
        "return type(text)(more) if text else text.__class__()",
        "raise TypeError(f'{type(text)} {type(more).__name__}')",
        "raise TypeError('%s' % type(more).__name__)",
        "return getattr(text, 'name', None)",
        "return sorted(more, key=by('name', 'inner.place'))",
        "dir = input = 3\nreturn dir + input",
        "return '{} {name}'.format(text, name=more[0])",
        "def inner(n):\n    found = {}\n    found[n] = 1\n    return found\nreturn inner",
        "counts = collections.Counter(text)\ncounts['a'] += 1\nreturn counts",
        "return [math.pi * n for n in more if (m := n) > m]",
        "text.value = more[0]\ntext.parts[0], rest = more",
        "cache = LIMITS.copy()\ncache[text] = 1\nreturn cache",
        "match text:\n    case {'a': x, **rest}: return x, rest\n    case [a, *b]: return a",
        "import itertools\nreturn itertools.chain(*more)",
        "try:\n    return int(text)\nexcept ValueError as error:\n    raise KeyError(text) from error",
        "return (lambda text: text.strip())(text)",
        "import codecs\nreturn codecs.encode(text.trace().profile, 'rot13')",
        "for one, n in zip(text, more): one.x = n",
        "made = type(text)(more)\nmade.x, made.y = 1, 2",
        "one, two = text, more\none.x = two",
        "def inner(one=text, *, two=None):\n    one.x = two\nreturn inner",
    ],
)
def test_honest_code_is_not(body: str) -> None:
    assert isinstance(judged(body), Change)


@pytest.mark.parametrize(
    "body",
    ["import os\nreturn os", "return [type][0]", "return getattr(text, text)"],
)
def test_what_the_original_used_may_be_used(body: str) -> None:
    assert isinstance(judged(f"x = 1\n{body}", before=body), Change)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("return 1", "return 2"), "does not parse|more than the body"),
        (("text, open", "text, opened"), "more than the body"),
        (("LIMITS = {}", "LIMITS = {1: 2}"), "more than the body"),
        (("    pass\n\n\ndef other", "    return (\n\n\ndef other"), "does not parse"),
    ],
)
def test_more_than_one_body_is_a_fault(change: tuple[str, str], reason: str) -> None:
    original = FILE.format(body="    pass")
    text = original.replace(*change)
    if change[0] == "return 1":
        text = text.replace("    pass\n\n\ndef other", "    return\n\n\ndef other")
    outcome = judge(original, text)
    assert isinstance(outcome, PolicyFault)
    assert any(word in outcome.reason for word in reason.split("|"))


def test_a_tower_of_brackets_is_a_fault_and_no_crash() -> None:
    assert isinstance(judged("return " + "-" * 3000 + "1"), PolicyFault)
    deep = "return " + "+".join(["1"] * 20_000)
    assert isinstance(judged(deep), PolicyFault | Change)
