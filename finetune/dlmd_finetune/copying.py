"""Names changed throughout a piece of source, so that what stands in a hole can only be known
by copying it from beside the hole.

Works on fragments, which do not parse, hence on words: a name that the piece itself binds
changes everywhere, in comments as well. Must not know tokens or models.
"""

import builtins
import keyword
import re

import numpy as np

NAME = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]+\b")
# Bound by a statement, by an assignment, or as a parameter.
BOUND = re.compile(
    r"\b(?:def|class|for|as)[ ]+(\w\w+)|^[ \t]*(\w\w+)[ ]*(?::[^=\n]+)?=[^=]"
    r"|[(,][ ]*\*{0,2}(\w\w+)[ ]*(?=[:,=)])",
    re.MULTILINE,
)
FIXED = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "self", "cls"})
SHARE = 0.6  # of the names that could change


def bound_names(text: str) -> list[str]:
    """In the order of their first binding."""
    found = (name for match in BOUND.findall(text) for name in match if name)
    return [n for n in dict.fromkeys(found) if not n.isdigit() and changeable(n)]


def changeable(name: str) -> bool:
    return name not in FIXED and not name.startswith("__")


def rename_throughout(text: str, donor: str, rng: np.random.Generator) -> str:
    """Some names of `text`, each with another of the donor's in its place throughout."""
    taken = set(NAME.findall(text))
    lent = dict.fromkeys(NAME.findall(donor))
    fresh = [name for name in lent if changeable(name) and name not in taken]
    old = [name for name in bound_names(text) if rng.random() < SHARE]
    rng.shuffle(fresh)
    new = dict(zip(old, fresh, strict=False))
    return NAME.sub(lambda match: new.get(match[0], match[0]), text)
