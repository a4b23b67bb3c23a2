"""Python source as it lies about: folders, wheels, source archives, this interpreter's own
library and what is installed beside it.

Reads archives without unpacking them and runs nothing it finds. Each file comes with the
package it is from and the licence that package states; what states none, or one that is not
permissive, is left alone. Must not know which files are worth learning from.
"""

import re
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

MAX_BYTES = 600_000
ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz")
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Unlicense|HPND|Zlib|0BSD|CC0)",
    re.I,
)
RESTRICTIVE = re.compile(
    r"GPL|GNU|MPL|Mozilla|Proprietary|Commercial|EUPL|CC-BY-NC", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What files came from, and what it says of its licence."""

    name: str
    version: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file: the package it came from, its path there, its text."""

    package: str
    path: str
    text: str
    version: str = ""
    licence: str = ""


def read_sources(roots: Sequence[Path]) -> Iterator[Source]:
    """Every `.py` file under the roots; a root is a folder or an archive."""
    for root in roots:
        if not root.exists():
            raise ValueError(f"no corpus at {root}; name a folder of Python source")
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.name.endswith(ARCHIVES):
                package = package_of(path)
                if permissive(package.licence):
                    yield from read_archive(path, package)
            elif path.suffix == ".py" and path.is_file():
                inside = path.relative_to(root) if root.is_dir() else Path(path.name)
                package = Package(name=inside.parts[0], licence="your own folder")
                yield from decode_source(package, str(inside), path.read_bytes())


def read_archive(path: Path, package: Package) -> Iterator[Source]:
    if path.name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".py") and info.file_size < MAX_BYTES:
                    yield from decode_source(package, info.filename, archive.read(info))
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith(".py") and member.size < MAX_BYTES:
                handle = archive.extractfile(member)
                if handle is not None:
                    yield from decode_source(package, member.name, handle.read())


def read_library() -> Iterator[Source]:
    """The standard library of the interpreter that runs this."""
    root = Path(sysconfig.get_path("stdlib"))
    package = Package(
        name="python",
        version=sysconfig.get_python_version(),
        licence="Python Software Foundation License",
    )
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if inside.parts[0] not in ("site-packages", "dist-packages"):
            yield from decode_source(package, str(inside), path.read_bytes())


def read_installed() -> Iterator[Source]:
    """What is installed beside dlmd, of permissive packages and without dlmd itself."""
    found = {each.name: each for each in distributions() if each.name}
    for name, each in sorted(found.items()):
        package = described(each.read_text("METADATA") or "")
        if name != "dlmd" and permissive(package.licence):
            yield from installed_files(each, package)


def installed_files(each: Distribution, package: Package) -> Iterator[Source]:
    for inside in sorted(each.files or (), key=str):
        path = Path(str(each.locate_file(inside)))
        if inside.suffix == ".py" and ".." not in inside.parts and path.is_file():
            yield from decode_source(package, str(inside), path.read_bytes())


def decode_source(package: Package, path: str, data: bytes) -> Iterator[Source]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    yield Source(
        package=package.name,
        version=package.version,
        licence=package.licence,
        path=path,
        text=text.replace("\r\n", "\n"),
    )


def package_of(archive: Path) -> Package:
    """Name, version and licence: a wheel's from its own metadata, a source archive's from
    its file name, which says nothing of a licence."""
    if archive.name.endswith(".whl"):
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if PurePosixPath(name).name == "METADATA":
                    return described(wheel.read(name).decode("utf-8", "replace"))
    stem = re.sub(r"(\.tar\.gz|\.tgz|\.zip|\.whl)$", "", archive.name)
    name, _, version = stem.partition("-")
    return Package(name=name, version=version.split("-")[0], licence="not stated")


def described(metadata: str) -> Package:
    headers = HeaderParser().parsestr(metadata)
    classified = [
        value.rsplit("::", 1)[1].strip()
        for value in headers.get_all("Classifier", [])
        if value.startswith("License ::")
    ]
    free_text = (headers.get("License") or "").strip().split("\n")[0][:60]
    return Package(
        name=headers.get("Name") or "",
        version=headers.get("Version") or "",
        licence=headers.get("License-Expression")
        or ", ".join(classified)
        or free_text
        or "not stated",
    )


def permissive(licence: str) -> bool:
    """Whether the stated licence lets the source be learnt from and the weights be given away."""
    return bool(PERMISSIVE.search(licence)) and not RESTRICTIVE.search(licence)
