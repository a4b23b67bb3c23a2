"""The table of languages: their grammar, and what their nodes are called.

A grammar is loaded when a document first needs it. Without one, the language is read by its
brackets and indentation alone. Must not know documents.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    name: str
    module: str = ""  # of the grammar; "": none
    entry: str = "language"
    comment: str = "#"
    # Node types.
    functions: frozenset[str] = frozenset()
    comments: frozenset[str] = frozenset({"comment", "line_comment", "block_comment"})
    strings: frozenset[str] = frozenset()
    # A string's parts that hold code again.
    code_in_strings: frozenset[str] = frozenset()
    braces: bool = True
    # What stands where code is to come: whole statements or expressions.
    gaps: tuple[str, ...] = field(default=())


_TODO = r"(?://|#)\s*TODO\b[^\n]*"
_JS = {
    "functions": frozenset(
        {
            "function_declaration",
            "generator_function_declaration",
            "function_expression",
            "function",
            "arrow_function",
            "method_definition",
        }
    ),
    "strings": frozenset({"string", "template_string", "regex", "jsx_text"}),
    "code_in_strings": frozenset({"template_substitution"}),
    "comment": "//",
    "gaps": (
        r"throw new Error\(['\"](?:TODO|[Nn]ot implemented)[^\n]*?\);?",
        r"\.\.\.(?=\s*(?:;|\)|\}|$))",
    ),
}
PYTHON = Language(
    name="python",
    module="tree_sitter_python",
    functions=frozenset({"function_definition"}),
    strings=frozenset({"string"}),
    code_in_strings=frozenset({"interpolation"}),
    braces=False,
    gaps=(
        r"\.\.\.(?![\w.\]])",
        r"raise NotImplementedError(?:\([^\n]*\))?",
        r"(?<![\w.])pass(?=[ \t]*#[ \t]*TODO)",
    ),
)
_TABLE = (
    PYTHON,
    Language(name="javascript", module="tree_sitter_javascript", **_JS),  # type: ignore[arg-type]
    Language(
        name="typescript",
        module="tree_sitter_typescript",
        entry="language_typescript",
        **_JS,  # type: ignore[arg-type]
    ),
    Language(
        name="tsx",
        module="tree_sitter_typescript",
        entry="language_tsx",
        **_JS,  # type: ignore[arg-type]
    ),
    Language(
        name="go",
        module="tree_sitter_go",
        comment="//",
        functions=frozenset(
            {"function_declaration", "method_declaration", "func_literal"}
        ),
        strings=frozenset(
            {"interpreted_string_literal", "raw_string_literal", "rune_literal"}
        ),
        gaps=(r"panic\(\"(?:TODO|not implemented)[^\n]*?\"\)",),
    ),
    Language(
        name="rust",
        module="tree_sitter_rust",
        comment="//",
        functions=frozenset({"function_item", "closure_expression"}),
        strings=frozenset({"string_literal", "raw_string_literal", "char_literal"}),
        gaps=(r"(?:todo|unimplemented)!\([^\n]*?\)",),
    ),
    Language(
        name="c",
        module="tree_sitter_c",
        comment="//",
        functions=frozenset({"function_definition"}),
        strings=frozenset({"string_literal", "char_literal", "system_lib_string"}),
    ),
    Language(
        name="cpp",
        module="tree_sitter_cpp",
        comment="//",
        functions=frozenset({"function_definition", "lambda_expression"}),
        strings=frozenset(
            {
                "string_literal",
                "char_literal",
                "raw_string_literal",
                "system_lib_string",
            }
        ),
    ),
    Language(
        name="java",
        module="tree_sitter_java",
        comment="//",
        functions=frozenset(
            {"method_declaration", "constructor_declaration", "lambda_expression"}
        ),
        strings=frozenset({"string_literal", "character_literal", "text_block"}),
        gaps=(r"throw new UnsupportedOperationException\([^\n]*?\);?",),
    ),
)
_BY_NAME = {language.name: language for language in _TABLE}
# Language ids of the protocol that go by another name here.
_ALIASES = {
    "javascriptreact": "javascript",
    "typescriptreact": "tsx",
    "py": "python",
    "objective-c": "c",
}
_ENDINGS = {
    ".py": "python",
    ".pyi": "python",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "tsx",
    ".go": "go",
    ".rs": "rust",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
    ".hh": "cpp",
    ".java": "java",
}
# Languages without a grammar here whose comments do not begin with #.
_COMMENTS = {
    **dict.fromkeys(
        ("php", "csharp", "kotlin", "swift", "scala", "dart", "zig", "jsonc", "scss"),
        "//",
    ),
    **dict.fromkeys(("sql", "lua", "haskell", "elm", "ada"), "--"),
    **dict.fromkeys(("lisp", "clojure", "scheme", "ini"), ";"),
    **dict.fromkeys(("tex", "latex", "erlang", "matlab"), "%"),
}


def language_of(language_id: str | None, path: str) -> Language:
    """By the editor's word for it, else by the end of the file's name."""
    said = _ALIASES.get(language_id or "", language_id or "")
    if said in _BY_NAME:
        return _BY_NAME[said]
    ending = path[path.rfind(".") :].lower() if "." in path else ""
    if said in ("", "plaintext") and ending in _ENDINGS:
        return _BY_NAME[_ENDINGS[ending]]
    return Language(name=said, comment=_COMMENTS.get(said, "#"))


@cache
def parser(language: Language) -> Any | None:
    """None where the grammar is not installed, or made for another version."""
    if not language.module:
        return None
    try:
        from tree_sitter import Language as Grammar
        from tree_sitter import Parser

        module = importlib.import_module(language.module)
        return Parser(Grammar(getattr(module, language.entry)()))
    except (ImportError, AttributeError, ValueError):
        return None
