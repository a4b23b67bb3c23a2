"""How long something is kept, as people write it: "10m", "1h30m", "-1", "0", or seconds.

The same forms as ollama's keep_alive: a number below zero means for ever. Must not know
what is kept.
"""

import math
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PIECE = r"(\d+(?:\.\d+)?)(ms|s|m|h)"
EXPECTED = 'a time such as "10m", "0" (at once) or "-1" (for ever)'


def seconds(value: str | float) -> float:
    """The duration in seconds; infinity for ever. ValueError for what is none."""
    if isinstance(value, str):
        value = _read(value.strip())
    if math.isnan(value):
        raise ValueError(f"not a number where {EXPECTED} was expected")
    return math.inf if value < 0 else float(value)


def _read(text: str) -> float:
    sign, digits = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", digits, re.ASCII):
        return sign * float(digits)
    if len(digits) <= 64 and re.fullmatch(f"({_PIECE})+", digits, re.ASCII):
        pieces = re.findall(_PIECE, digits, re.ASCII)
        return sign * sum(float(number) * _UNITS[unit] for number, unit in pieces)
    raise ValueError(f"{text[:40]!r} is no duration; write {EXPECTED}")
