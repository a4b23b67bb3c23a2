"""dlmd_lsp.function_body: which text of a file a function's body is, and the new one."""

import ast

import pytest
from dlmd_lsp.function_body.find import find_body
from dlmd_lsp.function_body.fit import fit
from hypothesis import given
from hypothesis import strategies as st


def replaced(marked: str, answer: str = "return 1") -> str:
    """The file after a fill, the cursor being where the mark was."""
    before, after = marked.split("|")
    text = before + after
    body = find_body(text, len(before))
    new = fit(body, answer, text[body.end :])
    return text[: body.start] + body.lead + new + text[body.end :]


BODIES = [
    # An empty body at the end of the file, then before another function.
    ("def f(a):\n    |", "def f(a):\n    return 1"),
    ("def f(a):|", "def f(a):\n    return 1"),
    ("def f(a):\n    |\n", "def f(a):\n    return 1\n"),
    (
        "def f(a):\n|\n\ndef g():\n    pass\n",
        "def f(a):\n    return 1\n\ndef g():\n    pass\n",
    ),
    (
        "def f(a):|\ndef g():\n    pass\n",
        "def f(a):\n    return 1\ndef g():\n    pass\n",
    ),
    (
        "def f(a):\n    |\n\n\ndef g(:\n",
        "def f(a):\n    return 1\n\n\ndef g(:\n",
    ),
    # Signature over several rows, closing bracket far left, annotations, defaults.
    (
        "def f(\n    a: dict[str, int],\n    b=lambda: 0,\n) -> int:\n    |\n",
        "def f(\n    a: dict[str, int],\n    b=lambda: 0,\n) -> int:\n    return 1\n",
    ),
    ("def f(\n    a,|\n):\n    pass\n", "def f(\n    a,\n):\n    return 1\n"),
    # A docstring stays, and so do comments above the body.
    (
        'def f():\n    """Says |one."""\n    pass\n',
        'def f():\n    """Says one."""\n    return 1\n',
    ),
    (
        "def f():\n    '''Two\n\n    rows: one.'''\n\n    x = 2|\n    return x\n",
        "def f():\n    '''Two\n\n    rows: one.'''\n\n    return 1\n",
    ),
    ('def f():\n    """D."""\n    |', 'def f():\n    """D."""\n    return 1'),
    ('def f():\n    r"a" "b"\n    |\n', 'def f():\n    r"a" "b"\n    return 1\n'),
    (
        "def f():  # why\n    # add one\n    |\n\nx = 2\n",
        "def f():  # why\n    # add one\n    return 1\n\nx = 2\n",
    ),
    ("def f():\n    # add one\n    pass|\n", "def f():\n    # add one\n    return 1\n"),
    # Bodies beside the colon.
    ("def f(): pass|\n", "def f():\n    return 1\n"),
    ("def f(): ...|\n\nx = 1\n", "def f():\n    return 1\n\nx = 1\n"),
    ('def f(): """D."""|\n', 'def f():\n    """D."""\n    return 1\n'),
    ('def f(): """D."""; pass|\n', 'def f():\n    """D."""\n    return 1\n'),
    ('def f():\n    """D."""; pass|\n', 'def f():\n    """D."""\n    return 1\n'),
    # A string that is a statement's beginning is no docstring.
    ('def f():\n    "a".join(|b)\n', "def f():\n    return 1\n"),
    ('def f():\n    f"{|b}"\n', "def f():\n    return 1\n"),
    # Methods, nested functions, decorators, async.
    (
        "class A:\n    @property\n    async def f(self):\n        pass|\n\n    y = 1\n",
        "class A:\n    @property\n    async def f(self):\n        return 1\n\n    y = 1\n",
    ),
    (
        "class A:\n    def f(self):\n        |\n    def g(self):\n        pass\n",
        "class A:\n    def f(self):\n        return 1\n    def g(self):\n        pass\n",
    ),
    (
        "def f():\n    def g():\n        pass|\n    return g\n",
        "def f():\n    def g():\n        return 1\n    return g\n",
    ),
    (
        "def f():\n    def g():\n        pass\n    return g|\n",
        "def f():\n    return 1\n",
    ),
    ("@|wraps\ndef f():\n    pass\n", "@wraps\ndef f():\n    return 1\n"),
    (
        "def f():\n    @g\n    def h(): pass\n    return h|\n",
        "def f():\n    return 1\n",
    ),
    # A file that does not parse: what stands deeper than the def is its body.
    ("def f():\n    x = (\n    y|\n\nz = 1\n", "def f():\n    return 1\n\nz = 1\n"),
    ("x = (\ndef f():\n    pass|\n", "x = (\ndef f():\n    return 1\n"),
    # A text in the body that stands far left.
    ('def f():\n    x = """\nleft\n"""\n    |pass\n', "def f():\n    return 1\n"),
    # A form feed is white space.
    ("\f\ndef f():\n    pass|\n\f\n", "\f\ndef f():\n    return 1\n\f\n"),
]


@pytest.mark.parametrize(("marked", "expected"), BODIES)
def test_the_body_is_replaced_and_nothing_else(marked: str, expected: str) -> None:
    assert replaced(marked) == expected


@pytest.mark.parametrize(
    ("marked", "sentence"),
    [
        ("|", "there is no Python function at line 1"),
        ("x = 1\n|\n", "there is no Python function at line 2"),
        ("def f():\n    return 2\n\n|\nx = 1\n", "no Python function at line 4"),
        ("def f():\n    return 2\nx = |1\n", "no Python function at line 3"),
        ("def f(a, b|\n", "the signature at line 1 is not finished"),
        ('def f():\n    """open|\n', "the docstring of f is not closed"),
        ("class A:\n    x = 1|\n", "there is no Python function at line 2"),
    ],
)
def test_no_body(marked: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replaced(marked)


ANSWERS = [
    # As asked: the first line bare, the others at their depth.
    ("a = 1\n    return a", "a = 1\n    return a"),
    ("if a:\n        b\n    c\n", "if a:\n        b\n    c"),
    # The model went on to the next function, or said blank lines.
    ("return a\n\n\ndef g():\n    pass", "return a"),
    ("return a\n\n\n", "return a"),
    ("", ""),
    ("\n\ndef g():", ""),
    # The model repeated the indentation, or set the whole a level too deep.
    ("    a = 1\n    return a", "a = 1\n    return a"),
    ("\n    a = 1\n    return a", "a = 1\n    return a"),
    ("a = 1\n        return a", "a = 1\n    return a"),
    ("\n        a = 1\n        return a", "a = 1\n    return a"),
    ("for a in b:\n        c", "for a in b:\n        c"),
    # Tabs in a file of spaces.
    ("if a:\n\t\tb", "if a:\n        b"),
    # What follows is not said again.
    ("return a\n\n\nx = 1", "return a"),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
def test_the_answer_is_laid_into_the_body(answer: str, expected: str) -> None:
    text = "def f(a, b):\n    \n\n\nx = 1\n"
    body = find_body(text, 15)
    assert fit(body, answer, text[body.end :]) == expected


@pytest.mark.parametrize(
    "answer",
    [
        "for a in b:\n\t\t\tc(a)\n\t\treturn b",
        "for a in b:\n            c(a)\n        return b",
    ],
)
def test_a_file_of_tabs_gets_tabs(answer: str) -> None:
    assert replaced("class A:\n\tdef f(b):\n\t\t|\n", answer) == (
        "class A:\n\tdef f(b):\n\t\tfor a in b:\n\t\t\tc(a)\n\t\treturn b\n"
    )


def test_a_level_is_as_wide_as_the_file_has_it() -> None:
    text = "if x:\n  if y:\n    z\ndef f():|\n"
    assert replaced(text, "if a:\n    b\n  c") == (
        "if x:\n  if y:\n    z\ndef f():\n  if a:\n    b\n  c\n"
    )


def test_crlf_rows_are_found_by_their_own_offsets() -> None:
    text = 'def f():\r\n    """D."""\r\n    pass\r\n\r\nx = 1\r\n'
    body = find_body(text, text.index("pass"))
    assert text[body.start : body.end] == "pass"
    empty = "def f():\r\n\r\nx = 1\r\n"
    body = find_body(empty, 3)
    assert (
        empty[: body.start] == "def f():" and empty[body.end :] == "\r\n\r\nx = 1\r\n"
    )


@given(
    st.text(st.sampled_from("ab \t\n:(#\"'\\"), max_size=30),
    st.sampled_from(["    ", "\t"]),
)
def test_no_answer_ever_leaves_the_body(answer: str, unit: str) -> None:
    text = f"class A:\n{unit}def f(self):\n{unit}{unit}\n\n{unit}x = 1\n"
    body = find_body(text, text.index("self"))
    new = fit(body, answer, text[body.end :])
    for line in new.split("\n")[1:]:
        assert not line or line.startswith(body.indent)
    assert not new.endswith(("\n", " ", "\t"))


@given(st.integers(0, 400))
def test_a_filled_file_parses_wherever_the_cursor_stood(offset: int) -> None:
    text = (
        "import re\n\n\nclass A:\n    '''Holds.'''\n\n    @property\n    def f(self):\n"
        "        # one\n        return 2\n\n    def g(self): return 3\n\n\n"
        "async def h(\n    a: int = 1,\n) -> None:\n    '''Says.'''\n    if a:\n"
        "        def k():\n            return 4\n        return k\n\n\nx = A()\n"
    )
    try:
        body = find_body(text, min(offset, len(text)))
    except ValueError as sentence:
        assert "no Python function" in str(sentence)
        return
    new = text[: body.start] + body.lead + "return 1" + text[body.end :]
    ast.parse(new)
