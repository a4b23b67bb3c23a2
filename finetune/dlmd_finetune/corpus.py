"""Python source from folders, wheels and source archives, as one packed corpus.

Reads archives without unpacking them and runs nothing it finds. Knows files and licences;
must not know tokens, masks or models.
"""

import gzip
import hashlib
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

import numpy as np

MIN_CHARS, MAX_CHARS = 200, 150_000
MAX_LINE, MAX_MEAN_LINE = 300, 60
MIN_ASCII = 0.97
OVERLAP_WORDS = 20
GENERATED = re.compile(
    r"@generated|do not edit|auto-?generated|this file was generated", re.I
)
ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz")
WORD = re.compile(r"\w+|[^\w\s]")
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Unlicense|HPND|Zlib|0BSD|CC0)",
    re.I,
)
RESTRICTIVE = re.compile(
    r"GPL|GNU|MPL|Mozilla|Proprietary|Commercial|EUPL|CC-BY-NC", re.I
)
KEEP_ONE_TEST_IN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file: the package it came from, its path there, its text."""

    package: str
    path: str
    text: str


def read_sources(roots: Sequence[Path]) -> Iterator[Source]:
    """Every `.py` file under the roots; a root is a folder or an archive."""
    for root in roots:
        if not root.exists():
            raise ValueError(f"no corpus at {root}; name a folder of Python source")
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.name.endswith(ARCHIVES):
                if permissive(licence_of(path)):
                    yield from read_archive(path)
            elif path.suffix == ".py" and path.is_file():
                inside = path.relative_to(root) if root.is_dir() else Path(path.name)
                yield from decode_source(
                    inside.parts[0], str(inside), path.read_bytes()
                )


def read_archive(path: Path) -> Iterator[Source]:
    package = re.split(r"-\d", path.name)[0]
    if path.name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".py") and info.file_size < 4 * MAX_CHARS:
                    yield from decode_source(package, info.filename, archive.read(info))
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith(".py") and member.size < 4 * MAX_CHARS:
                handle = archive.extractfile(member)
                if handle is not None:
                    yield from decode_source(package, member.name, handle.read())


def decode_source(package: str, path: str, data: bytes) -> Iterator[Source]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    yield Source(package=package, path=path, text=text.replace("\r\n", "\n"))


def worth_keeping(text: str) -> bool:
    """Hand-written, readable, of a sensible size."""
    if not MIN_CHARS <= len(text) <= MAX_CHARS or GENERATED.search(text[:2000]):
        return False
    lines = text.split("\n")
    if max(map(len, lines)) > MAX_LINE or len(text) / len(lines) > MAX_MEAN_LINE:
        return False
    return sum(map(str.isascii, text)) / len(text) >= MIN_ASCII


def word_runs(text: str) -> set[int]:
    """Hashes of every run of OVERLAP_WORDS words: the unit in which overlap is counted."""
    words = WORD.findall(text)
    return {
        hash(tuple(words[i : i + OVERLAP_WORDS]))
        for i in range(len(words) - OVERLAP_WORDS + 1)
    }


def evaluation_runs(files: Sequence[Path]) -> set[int]:
    """Word runs of the evaluation sets' solutions and prompts (JSON lines, gzip or plain)."""
    runs: set[int] = set()
    for file in files:
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                task = json.loads(line)
                runs |= word_runs(task["prompt"] + task["canonical_solution"])
    return runs


def licence_of(archive: Path) -> str:
    """What the package says of its own licence, in the words of its metadata."""
    if not archive.name.endswith(".whl"):
        return "see the source archive"
    with zipfile.ZipFile(archive) as wheel:
        for name in wheel.namelist():
            if PurePosixPath(name).name == "METADATA":
                headers = HeaderParser().parsestr(
                    wheel.read(name).decode("utf-8", "replace")
                )
                stated = headers.get("License-Expression") or ""
                classified = [
                    value.rsplit("::", 1)[1].strip()
                    for value in headers.get_all("Classifier", [])
                    if value.startswith("License ::")
                ]
                free_text = (headers.get("License") or "").strip().split("\n")[0][:60]
                return stated or ", ".join(classified) or free_text or "not stated"
    return "not stated"


def permissive(licence: str) -> bool:
    """Whether the stated licence lets the source be learnt from and the weights be given away."""
    return bool(PERMISSIVE.search(licence)) and not RESTRICTIVE.search(licence)


def too_many_tests(path: str, digest: bytes) -> bool:
    """Test files repeat themselves: one in KEEP_ONE_TEST_IN is plenty."""
    name = path.replace("\\", "/")
    is_test = "/test" in name or name.startswith("test") or "_test.py" in name
    return is_test and digest[2] % KEEP_ONE_TEST_IN != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """All documents as one UTF-8 blob with offsets; `texts(i)` gives document i."""

    blob: np.ndarray
    offsets: np.ndarray
    held_out: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def text(self, index: int) -> str:
        return bytes(self.blob[self.offsets[index] : self.offsets[index + 1]]).decode()


def build(
    roots: Sequence[Path], out: Path, exclude: Sequence[Path] = ()
) -> dict[str, object]:
    """Filter, deduplicate and pack the roots into `out`; returns (and writes) the tally.

    ValueError when fewer than two files remain.

    One file in 512, by hash (at least one), is held out whole, so that held-out loss is honest.
    """
    forbidden = evaluation_runs(exclude)
    seen: set[bytes] = set()
    tally = {"files": 0, "kept": 0, "duplicates": 0, "filtered": 0, "overlapping": 0}
    packages: dict[str, int] = {}
    out.mkdir(parents=True, exist_ok=True)
    offsets, held_out = [0], []
    with open(out / "blob.bin", "wb") as blob:
        for source in read_sources(roots):
            tally["files"] += 1
            digest = hashlib.sha256("".join(source.text.split()).encode()).digest()
            if not worth_keeping(source.text) or too_many_tests(source.path, digest):
                tally["filtered"] += 1
            elif digest in seen:
                tally["duplicates"] += 1
            elif forbidden and forbidden & word_runs(source.text):
                tally["overlapping"] += 1
            else:
                seen.add(digest)
                tally["kept"] += 1
                data = source.text.encode()
                packages[source.package] = packages.get(source.package, 0) + len(data)
                blob.write(data)
                offsets.append(offsets[-1] + len(data))
                held_out.append(digest[0] == 0 and digest[1] < 128)
    if len(held_out) < 2:
        raise ValueError(
            f"{len(held_out)} file(s) of the corpus are worth training on, at least 2 are needed; "
            "name a folder with more hand-written Python source"
        )
    held_out[-1] |= not any(held_out)
    np.save(out / "offsets.npy", np.array(offsets, dtype=np.int64))
    np.save(out / "held_out.npy", np.array(held_out, dtype=bool))
    summary: dict[str, object] = {**tally, "bytes": offsets[-1], "packages": packages}
    (out / "tally.json").write_text(json.dumps(summary, indent=1, sort_keys=True))
    return summary


def open_corpus(folder: Path) -> Corpus:
    """The packed corpus in `folder`, mapped, not read."""
    if not (folder / "offsets.npy").exists():
        raise ValueError(
            f"no packed corpus in {folder}; give a folder of Python source instead"
        )
    return Corpus(
        blob=np.memmap(folder / "blob.bin", dtype=np.uint8, mode="r"),
        offsets=np.load(folder / "offsets.npy"),
        held_out=np.load(folder / "held_out.npy"),
    )
