"""Where the holes of a measurement are: one line's code taken out of real source.

The standard library's source, or the user's own files. Distinct holes, spread over all of
them. Must not know clients, models or times.
"""

import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from dlmd.profiles import EMBEDDED_FOLDER

SOURCES = ("argparse.py", "difflib.py", "inspect.py", "tarfile.py", "textwrap.py")
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    before: str
    code: str  # what stood in the hole
    after: str
    context: int  # tokens before and after


def places(
    texts: Sequence[str],
    wanted: int,
    context: int,
    count: Callable[[str], int],
    *,
    prefix: float = 0.5,
) -> Iterator[Place]:
    """Distinct holes, spread over the texts: one line's code taken out, at least `context`
    tokens kept around it, the share `prefix` of them before it."""
    spots = [
        (lines, number)
        for lines in (text.splitlines(keepends=True) for text in texts)
        for number in range(len(lines) // 4, max(1, 3 * len(lines) // 4))
        if lines
        and lines[number].strip()
        and not lines[number].lstrip().startswith("#")
    ]
    if len(spots) < wanted:
        raise ValueError(
            f"{wanted} distinct holes were asked for, there are {len(spots)}; ask for fewer"
        )
    for index in range(wanted):
        lines, number = spots[index * len(spots) // wanted]
        line = lines[number]
        code = line.strip()
        indent = line[: line.index(code[0])]
        before, seen = enough(
            [indent, *reversed(lines[:number])], context * prefix, count
        )
        after, more = enough(
            ["\n", *lines[number + 1 :]], context * (1 - prefix), count
        )
        yield Place(
            before="".join(reversed(before)),
            code=code,
            after="".join(after),
            context=seen + more,
        )


def enough(
    lines: Sequence[str], tokens: float, count: Callable[[str], int]
) -> tuple[list[str], int]:
    kept: list[str] = []
    total = 0
    for line in lines:
        if total >= tokens:
            break
        kept.append(line)
        total += count(line)
    return kept, total


def sources(files: Sequence[Path] = ()) -> list[str]:
    """The texts of the files, or of the standard library's."""
    if not files:
        folder = Path(sysconfig.get_paths()["stdlib"])
        files = [folder / name for name in SOURCES if (folder / name).is_file()]
        if not files:
            raise ValueError(
                f"no source of the standard library in {folder}; give files to measure on"
            )
    return [read(file) for file in files]


def read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as broken:
        raise ValueError(
            f"{file} is not UTF-8 text (byte {broken.start}); give source files"
        ) from broken


def encoder(folder: Path) -> Callable[[str], list[int]]:
    """Tokens as the model of `folder` has them; as the embedded one has them where that
    folder is not at hand."""
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(
        str(file if file.is_file() else EMBEDDED_FOLDER / file.name)
    )

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    return encode


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed (nearest rank)."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def spread(times: Sequence[float]) -> dict[str, float]:
    return {name: round(percentile(times, share), 2) for name, share in SHARES.items()}
