"""Names changed throughout: only what the piece binds itself, and everywhere alike."""

import ast

import numpy as np
from dlmd_finetune.copying import bound_names, rename_throughout

TEXT = """\
import os

def widest(rows, *, limit=None):
    # the widest of rows
    best = 0
    for row in rows:
        best = max(best, len(row))
    return os.path.join(str(best), str(limit))
"""
DONOR = "alpha beta gamma delta epsilon zeta eta theta rows self print def"


def test_names_that_the_piece_binds() -> None:
    assert bound_names(TEXT) == ["widest", "rows", "limit", "best", "row"]


def test_what_is_bound_elsewhere_stays_and_the_rest_still_parses() -> None:
    for seed in range(20):
        text = rename_throughout(TEXT, DONOR, np.random.default_rng(seed))
        ast.parse(text)
        assert "os.path.join" in text and "max(" in text and "def " in text
        assert text.count("\n") == TEXT.count("\n")


def test_a_name_changes_everywhere_or_nowhere() -> None:
    changed = 0
    for seed in range(30):
        text = rename_throughout(TEXT, DONOR, np.random.default_rng(seed))
        left = [text.split().count("best"), text.count("best")]
        assert left[1] in (0, TEXT.count("best"))
        changed += left[1] == 0
    assert 5 < changed < 29


def test_nothing_to_change_with() -> None:
    assert rename_throughout(TEXT, "def for", np.random.default_rng(0)) == TEXT
