"""A few functions of our own in HumanEval-Infilling's format, one task per line.

Stands in for the published set, which is not ours to ship. Knows no models.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

PROBLEMS = {
    "largest": (
        'def largest(numbers):\n    """The largest of some numbers."""\n',
        "    best = numbers[0]\n"
        "    for number in numbers:\n"
        "        if number > best:\n"
        "            best = number\n"
        "    return best\n",
        "def check(f):\n    assert f([1, 3, 2]) == 3\n    assert f([-2, -5]) == -2\n",
    ),
    "vowels": (
        'def vowels(word):\n    """How many vowels a word has."""\n',
        "    found = [c for c in word if c in 'aeiou']\n    return len(found)\n",
        "def check(f):\n    assert f('sandbox') == 2\n    assert f('') == 0\n",
    ),
}


def sample_rows() -> list[dict[str, str]]:
    rows = []
    for number, (name, (head, body, test)) in enumerate(PROBLEMS.items()):
        lines = body.splitlines(keepends=True)
        for cut, line in enumerate(lines):
            rows.append(
                {
                    "task_id": f"SingleLineInfilling/Sample/{number}/L{cut}",
                    "entry_point": name,
                    "prompt": head + "".join(lines[:cut]),
                    "suffix": "".join(lines[cut + 1 :]),
                    "canonical_solution": line,
                    "test": test,
                }
            )
    return rows


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
