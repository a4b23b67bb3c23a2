"""Places that their author left for later: `...`, TODO, and what a language says for them.

Must not know what is put there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dlmd_lsp.syntax.place import place_of
from dlmd_lsp.syntax.tree import Tree

TODO = re.compile(r"^([ \t]*)(?://|#|--|;+|%|/?\*+)[ \t]*TODO\b[^\n]*$", re.MULTILINE)
PASS = re.compile(r"\s*(pass)[ \t]*(?=\r?\n|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    start: int
    end: int
    # It has its lines to itself, so whole statements belong there.
    statement: bool
    lead: str = ""
    indent: str | None = None


def gaps_in(text: str, start: int, end: int, tree: Tree) -> list[Gap]:
    """In their order. A TODO keeps its comment, which says what is wanted; the hole follows."""
    found: dict[int, Gap] = {}
    for pattern in tree.language.gaps or (r"\.\.\.",):
        for match in re.compile(pattern, re.MULTILINE).finditer(text, start, end):
            inside = place_of(text, match.start() + 1, tree).inside
            if inside == "code" and not _is_index(text, match.start(), tree):
                found[match.start()] = _gap(text, *match.span())
    for match in TODO.finditer(text, start, end):
        if place_of(text, match.end(), tree).inside == "string":
            continue
        filler = PASS.match(text, match.end())
        if filler is not None and tree.language.name == "python":
            found[filler.start(1)] = _gap(text, *filler.span(1))
        elif not _follows(text, match.end(), found):
            at = match.end() - (match.group().endswith("\r"))
            found[at] = Gap(
                start=at,
                end=at,
                statement=True,
                lead="\n" + match.group(1),
                indent=match.group(1),
            )
    return [found[at] for at in sorted(found)]


def _is_index(text: str, at: int, tree: Tree) -> bool:
    """Python's `...` in square brackets says "any" or "all": nothing is missing there."""
    root = tree.root(text)
    if root is None or tree.language.name != "python":
        return False
    start = tree.byte_of(text, at)
    node = root.descendant_for_byte_range(start, start + 1)
    while node is not None and node.type not in ("argument_list", "block", "module"):
        if node.type in ("subscript", "type_parameter"):
            return True
        node = node.parent
    return False


def _follows(text: str, at: int, found: dict[int, Gap]) -> bool:
    """Whether the next thing below is a gap by itself already."""
    below = at + len(text[at:]) - len(text[at:].lstrip())
    return below in found


def _gap(text: str, start: int, end: int) -> Gap:
    line = text.rfind("\n", 0, start) + 1
    rest = text[end:].split("\n", 1)[0]
    alone = not text[line:start].strip() and not rest.strip()
    return Gap(start=start, end=end, statement=alone)
