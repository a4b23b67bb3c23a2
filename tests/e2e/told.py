"""What a page of docs/ tells its reader to write into a file, so that what is tried is what it says."""

import re
import textwrap
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def told(page: str, language: str) -> str:
    """The page's first block of a language."""
    text = (DOCS / page).read_text("utf-8")
    found = re.search(rf"^( *)```{language}\n(.*?)^\1```", text, re.S | re.M)
    assert found is not None, f"docs/{page} has no block of {language}"
    return textwrap.dedent(found[2])
