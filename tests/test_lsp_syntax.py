"""dlmd_lsp.syntax: trees that keep up with edits, windows, places, gaps and functions."""

import pytest
from dlmd_lsp.document import Document
from dlmd_lsp.syntax.functions import braced_body, function_at
from dlmd_lsp.syntax.gaps import gaps_in
from dlmd_lsp.syntax.languages import language_of, parser
from dlmd_lsp.syntax.place import place_of
from dlmd_lsp.syntax.tree import Tree
from dlmd_lsp.syntax.window import AFTER, BEFORE, MARGIN, window_at
from hypothesis import given, settings
from hypothesis import strategies as st

GRAMMARS = (
    *("python", "javascript", "typescript", "tsx", "go", "rust", "c", "cpp", "java"),
)
CODE = st.lists(
    st.sampled_from(
        [
            "def f(x):\n",
            "    ",
            "x = 1\n",
            "'é",
            '"""',
            "(",
            ")",
            "# 漢\n",
            "\r\n",
            "😀",
        ]
    ),
    max_size=12,
).map("".join)


def inside(marked: str, language: str = "python") -> str:
    before, after = marked.split("|")
    tree = Tree(language_of(language, ""))
    return place_of(before + after, len(before), tree).inside


def extent(marked: str, language: str = "python") -> str:
    before, after = marked.split("|")
    tree = Tree(language_of(language, ""))
    return place_of(before + after, len(before), tree).extent


@pytest.mark.parametrize("name", GRAMMARS)
def test_every_grammar_loads(name: str) -> None:
    assert parser(language_of(name, "")) is not None


def test_languages_by_id_and_by_ending() -> None:
    assert language_of("typescriptreact", "").name == "tsx"
    assert language_of("", "/a/b.RS").name == "rust"
    assert language_of(None, "/a/b.h").name == "c"
    assert language_of("lua", "/a/b.py").comment == "--"
    assert parser(language_of("lua", "")) is None


@given(CODE, st.data())
def test_an_edited_tree_is_the_tree_of_the_text(text: str, data: st.DataObject) -> None:
    tree = Tree(language_of("python", ""))
    tree.root(text)
    for _ in range(3):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        new = data.draw(CODE)
        tree.edited(text, start, end, new)
        text = text[:start] + new + text[end:]
        anew = Tree(language_of("python", ""))
        assert str(tree.root(text)) == str(anew.root(text))


@given(CODE, CODE)
def test_a_tree_with_an_edit_leaves_the_tree_as_it_is(text: str, insert: str) -> None:
    tree = Tree(language_of("python", ""))
    before = str(tree.root(text))
    at = len(text) // 2
    anew = Tree(language_of("python", ""))
    made = text[:at] + insert + text[at:]
    assert str(tree.with_edit(text, at, insert)) == str(anew.root(made))
    assert str(tree.root(text)) == before


@pytest.mark.parametrize(
    ("language", "marked", "expected"),
    [
        ("python", "x = 1  # no|te\n", "comment"),
        ("python", "x = 1  # note|", "comment"),
        ("python", "# note\n|x = 1\n", "code"),
        ("python", "s = 'a|b'\n", "string"),
        ("python", "s = 'ab'|\n", "code"),
        ("python", "s = 'ab|\n", "string"),
        ("python", "s = f'{a + |}'\n", "code"),
        ("python", '"""Doc|."""\n', "string"),
        ("javascript", "let a = `x ${b + |}`;", "code"),
        ("javascript", "let a = `x |`;", "string"),
        ("javascript", "/* a | */ b", "comment"),
        ("javascript", "/* a */ b |", "code"),
        ("go", "// a|\n", "comment"),
        ("rust", 'let a = "b|";', "string"),
        ("rust", "fn f<'a>(x: &'a str) { | }", "code"),
        ("c", "#include <std|io.h>\n", "string"),
        ("cpp", 'auto a = R"(b|)";', "string"),
        ("java", "/** Doc | */ class A {}", "comment"),
        # Without a grammar, by the line's own quotes.
        ("lua", "x = 1 -- no|te\n", "comment"),
        ("ruby", "s = 'a|b'\n", "string"),
        ("ruby", "it's = |\n", "code"),
    ],
)
def test_inside(language: str, marked: str, expected: str) -> None:
    assert inside(marked, language) == expected


@pytest.mark.parametrize(
    ("language", "marked", "expected"),
    [
        ("python", "x = |\n", "line"),
        ("python", "x = f(|)\n", "expression"),
        ("python", "x = | + 1\n", "expression"),
        ("python", "def f(\n    a,\n):\n    |\n", "body"),
        ("python", "if a:\n    |\n", "block"),
        ("python", "if a:\n    |\n    b\n", "line"),
        ("python", "if a:\n|\n", "line"),
        ("python", "x = 1\n|\n", "line"),
        ("go", "func f() {\n\t|\n}\n", "body"),
        ("java", "class A {\n  int f(int a) {\n    |\n  }\n}\n", "body"),
        ("java", "class A {\n  |\n}\n", "block"),
        ("c", "int f(int a)\n{\n  |\n}\n", "body"),
        ("c", "int f(int a) {\n  if (a) {\n    |\n  }\n}\n", "block"),
        ("typescript", "class A {\n  f(a: number) {\n    |\n  }\n}\n", "body"),
        ("javascript", "const f = (a) => {\n  |\n};\n", "body"),
        ("rust", "    pub fn f() -> u8 {\n        |\n    }\n", "body"),
        ("java", "    if (a) {\n        |\n    }\n", "block"),
        ("ruby", "x = {\n  |\n}\n", "block"),
    ],
)
def test_extent(language: str, marked: str, expected: str) -> None:
    assert extent(marked, language) == expected


def test_a_window_of_a_long_document_begins_at_the_left_edge() -> None:
    source = "def f():\n    return 1\n\n\n" * 4_000
    window = window_at(source, 50_000, language_of("python", ""))
    assert source[window.start - 1] == "\n" and source[window.start] == "d"
    assert window.start >= 50_000 - BEFORE
    assert len(window.text(source)) <= BEFORE + AFTER + 32
    assert window.holds(source, 50_000) and not window.holds(source, 90_000)
    short = window_at("x", 1, language_of("python", ""))
    assert short.text("x") == "x" and short.holds("x", 0)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_window_keeps_up_with_edits(data: st.DataObject) -> None:
    source = "def f(a):\n    return 'é' + a\n\n\n" * 2_000
    document = Document("file:///a.py", source, 1, "python")
    offset = 30_000
    for _ in range(3):
        document.place(offset)
        start = offset + data.draw(st.integers(-3 * MARGIN, 3 * MARGIN))
        end = start + data.draw(st.integers(0, 20))
        new = data.draw(CODE)
        document._replace(start, end, new)
        text = document.source
        offset = start + len(new)
        window = document.window(offset)
        inside_text = window.text(text)
        anew = Tree(language_of("python", ""))
        assert str(window.tree.root(inside_text)) == str(anew.root(inside_text))


def test_an_ellipsis_in_an_index_is_no_gap() -> None:
    text = (
        "def f(g: Callable[..., int]) -> tuple[int, ...]:\n    y = x[:, ..., 0]\n"
        "    z = x[..., 1]\n    w = x[g(...)]\n    ...\n"
    )
    found = gaps_in(text, 0, len(text), Tree(language_of("python", "")))
    assert [text.count("\n", 0, gap.start) for gap in found] == [3, 4]


def test_gaps_in_their_order() -> None:
    text = (
        "def f():\n    ...\n\ndef g():\n    # TODO: say hello\n    pass\n"
        "# TODO later\nx = ... + 1\ns = '...'\n# TODO\n"
        "def h():\n    raise NotImplementedError\n"
    )
    found = gaps_in(text, 0, len(text), Tree(language_of("python", "")))
    said = [text[gap.start : gap.end] for gap in found]
    assert said == ["...", "pass", "", "...", "", "raise NotImplementedError"]
    assert [gap.statement for gap in found] == [True, True, True, False, True, True]
    rust = "fn f() {\n    todo!()\n}\n"
    [gap] = gaps_in(rust, 0, len(rust), Tree(language_of("rust", "")))
    assert rust[gap.start : gap.end] == "todo!()"


def test_the_innermost_function() -> None:
    text = "def f():\n    def g():\n        return 1\n    return g\n"
    tree = Tree(language_of("python", ""))
    start, end = function_at(text, text.index("return 1"), tree) or (0, 0)
    assert text[start:end].startswith("def g")
    start, end = function_at(text, text.index("return g"), tree) or (0, 0)
    assert text[start:end].startswith("def f")
    assert function_at("x = 1\n", 2, Tree(language_of("python", ""))) is None


def test_a_body_between_braces() -> None:
    text = "class A {\n\tvoid f() { g(); }\n}\n"
    body, tail = braced_body(text, text.index("g()"), Tree(language_of("java", "")))
    assert text[body.start : body.end] == " g(); "
    assert (body.lead, body.indent, tail, body.name) == ("\n\t\t", "\t\t", "\n\t", "f")
    with pytest.raises(ValueError, match="no function with a body at line 1"):
        braced_body("int x;", 1, Tree(language_of("c", "")))
