"""Signatures of names that a document imports, from the files of its workspace.

Files are found by the import's own words, read when first needed and again when they change.
No index, no search: a name that no import leads to is not looked for. Must not know budgets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dlmd_lsp.ask.ignored import is_ignored
from dlmd_lsp.ask.secrets import is_secret_path, secrets_in

LARGEST = 200_000
# Imports stand at the top; further down nobody looks for them.
HEAD = 12_000
_FROM = re.compile(
    r"^[ \t]*from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)", re.MULTILINE
)
_PLAIN = re.compile(
    r"^[ \t]*import[ \t]+([\w.]+)(?:[ \t]+as[ \t]+(\w+))?", re.MULTILINE
)
_SCRIPT = re.compile(
    r"^[ \t]*import\s+(?:type\s+)?(?:(\w+)\s*,?\s*)?(?:\{([^}]*)\})?\s*from\s*['\"](\.[^'\"]+)['\"]",
    re.MULTILINE,
)
_ENDINGS = (".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    path: str
    name: str
    line: int
    text: str


def imported(
    text: str, path: str, roots: Sequence[str], language: str
) -> list[Signature]:
    """What the imports at the top of a text lead to, in their order."""
    head = text[:HEAD]
    if language == "python":
        found = _of_python(head, path, roots)
    elif language in ("javascript", "typescript", "tsx"):
        found = _of_script(head, path)
    else:
        return []
    return [
        signature
        for file, name in found
        if (signature := _look_up(file, name)) is not None
    ]


def _of_python(head: str, path: str, roots: Sequence[str]) -> Iterator[tuple[str, str]]:
    for module, names in _FROM.findall(head):
        file = _module(module, path, roots)
        for word in re.findall(r"(\w+)(?:\s+as\s+\w+)?", names.strip("()")):
            inner = _module(f"{module.rstrip('.')}.{word}", path, roots)
            if file is not None:
                yield file, word
            elif inner is not None:
                yield inner, ""
    for module, _ in _PLAIN.findall(head):
        file = _module(module, path, roots)
        if file is not None:
            yield file, ""


def _module(module: str, path: str, roots: Sequence[str]) -> str | None:
    """The file of a Python module: beside the document, or below a root or its src."""
    dots = len(module) - len(module.lstrip("."))
    inside = module.lstrip(".").replace(".", "/")
    here = Path(path).parent
    if dots:
        starts = [here.parents[dots - 2] if dots > 1 else here]
    else:
        tops = [Path(root) for root in roots]
        starts = [here, *tops, *(top / "src" for top in tops), *_packages(here)]
    for start in starts:
        for end in (".py", "/__init__.py", ".pyi"):
            file = f"{start}/{inside}{end}" if inside else f"{start}{end}"
            if os.path.isfile(file):
                return file
    return None


def _packages(folder: Path) -> list[Path]:
    """The folder above the outermost package that a file is in."""
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return [folder]


def _of_script(head: str, path: str) -> Iterator[tuple[str, str]]:
    for default, names, module in _SCRIPT.findall(head):
        start = os.path.normpath(os.path.join(os.path.dirname(path), module))
        file = next(
            (start + end for end in ("", *_ENDINGS) if os.path.isfile(start + end)),
            None,
        )
        if file is not None:
            words = re.findall(r"(\w+)(?:\s+as\s+\w+)?", names)
            for word in [*([default] if default else []), *words]:
                yield file, word


def _look_up(file: str, name: str) -> Signature | None:
    if is_secret_path(file) or is_ignored(file):
        return None
    try:
        stamp = os.stat(file)
    except OSError:
        return None
    text = _text(file, stamp.st_mtime_ns, stamp.st_size)
    if not text or not name:
        return None
    found = _definition(name).search(text)
    if found is None:
        return None
    return Signature(
        path=file,
        name=name,
        line=text.count("\n", 0, found.start()),
        text=_head(text, found.start()),
    )


@lru_cache(maxsize=64)
def _text(file: str, mtime: int, size: int) -> str:
    """A file of the workspace; "" when it may not be used."""
    if size > LARGEST:
        return ""
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "" if secrets_in(text) else text


@lru_cache(maxsize=512)
def _definition(name: str) -> re.Pattern[str]:
    return re.compile(
        r"^[ \t]*(?:(?:export|default|async|pub|public|abstract|declare)[ \t]+)*"
        rf"(?:def|class|function\*?|interface|type|enum|const|let)[ \t]+{re.escape(name)}\b"
        rf"|^{re.escape(name)}\b[ \t]*(?::[^=\n]+)?=",
        re.MULTILINE,
    )


def _head(text: str, start: int) -> str:
    """A definition up to where its body begins, on one line."""
    depth, end = 0, start
    for end in range(start, min(len(text), start + 400)):
        letter = text[end]
        if letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
        elif depth <= 0 and (letter == "\n" or letter == "{"):
            break
    return re.sub(r"\s+", " ", text[start:end]).strip().rstrip(":")
