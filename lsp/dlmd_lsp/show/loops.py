"""A suggestion that goes in a circle, as small models like to: `a, b, b, b, b`.

The rule: the same words three times running, or a single word four times, with the same signs
between. Numbers and signs alone do not count (`0, 0, 0, 0` and `----` are what people write, as
`None, None, None` is), nor do lines at different depths (`end` below `end`). Must not know
requests.
"""

from __future__ import annotations

import re

# A line break counts with the indentation behind it.
TOKEN = re.compile(r"\s*\n\s*|\w+|[^\w\s]")
LETTER = re.compile(r"[^\W\d_]")
WORD = re.compile(r"\w")
LONGEST = 32  # tokens in what is repeated


def before_loop(text: str) -> str:
    """The lines before the first that begins to repeat, or holds all of it; maybe none."""
    again = _second_time(text)
    if again is None:
        return text
    return text[: text.rfind("\n", 0, again) + 1].rstrip("\r\n")


def is_loop(text: str) -> bool:
    return _second_time(text) is not None


def _second_time(text: str) -> int | None:
    """Where the first loop says for the second time what it says."""
    found = list(TOKEN.finditer(text))
    tokens = [one.group() for one in found]
    firsts: list[int] = []
    for period in range(1, min(LONGEST, (len(tokens) + 1) // 3) + 1):
        run = 0
        for at in range(period, len(tokens)):
            run = run + 1 if tokens[at] == tokens[at - period] else 0
            start = at - run + 1
            unit = tokens[start - period : start]
            if run + period >= _enough(unit) and any(map(LETTER.match, unit)):
                firsts.append(start)
                break
    if not firsts:
        return None
    at = min(firsts)
    # A loop of lines begins with the break that ends the first of them.
    return found[at].end() if "\n" in tokens[at] else found[at].start()


def _enough(unit: list[str]) -> int:
    """How many tokens of its like running make it a loop."""
    words = sum(WORD.match(token) is not None for token in unit)
    times = 4 if words == 1 else 3
    # What stands between does not stand behind the last one.
    return times * len(unit) - (len(unit) > 1)
