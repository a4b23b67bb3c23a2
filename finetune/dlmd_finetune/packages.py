"""The list of packages that the embedded model learns from, and how their wheels are got.

The list is a pip requirements file, one pinned package a line with its licence behind it,
so that it can be read, checked and fetched by anybody. Fetching is pip's: wheels only,
nothing is built, nothing of them is run. Must not know what is done with the source.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dlmd_finetune.sources import Package, package_of, permissive

MOST = 150
LISTED = Path(__file__).parent / "packages.txt"
LINE = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)\s+#\s*(.+)")


def read_list(file: Path) -> list[Package]:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise ValueError(
            f"cannot read the list {file}: {error.strerror}; name a file of lines such as "
            "`click==8.5.1  # BSD-3-Clause`"
        ) from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if not match:
            raise ValueError(
                f"line {number} of {file} is {line.strip()!r}; expected a pinned package "
                "with its licence, such as `click==8.5.1  # BSD-3-Clause`"
            )
        package = Package(name=match[1], version=match[2], licence=match[3])
        if not permissive(package.licence):
            raise ValueError(
                f"line {number} of {file} lists {package.name} under {package.licence!r}; "
                "only permissive licences are learnt from, take it out"
            )
        found.append(package)
    if not 0 < len(found) <= MOST:
        raise ValueError(f"{file} lists {len(found)} packages; list 1 to {MOST}")
    return found


def fetch(file: Path, folder: Path) -> list[Path]:
    """The wheels of a list, in `folder`; what lies there already is not fetched again."""
    listed = read_list(file)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [each for each in listed if key(each) not in wheels_in(folder)]
    if missing:
        _download(missing, folder)
    have = wheels_in(folder)
    lost = [each.name for each in listed if key(each) not in have]
    if lost:
        raise ValueError(
            f"pip brought no wheel of {', '.join(lost[:5])}; take them out of {file} or "
            f"put their wheels into {folder}"
        )
    return [checked(have[key(each)], each) for each in listed]


def checked(wheel: Path, listed: Package) -> Path:
    """A wheel counts by what it says of itself, not by what the list says of it."""
    licence = package_of(wheel).licence
    if not permissive(licence):
        raise ValueError(
            f"{wheel.name} states the licence {licence!r}, the list says "
            f"{listed.licence!r}; take {listed.name} out of the list"
        )
    return wheel


def _download(packages: Sequence[Package], folder: Path) -> None:
    wanted = [f"{each.name}=={each.version}" for each in packages]
    print(f"fetching {len(wanted)} wheels into {folder}", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    pip += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest"]
    done = subprocess.run([*pip, str(folder), *wanted], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise ValueError(
            f"pip could not fetch the packages ({(said or ['no reason given'])[0]}); "
            f"give their wheels as a folder, or put them into {folder}"
        )


def wheels_in(folder: Path) -> dict[tuple[str, str], Path]:
    return {key(package_of(each)): each for each in sorted(folder.glob("*.whl"))}


def key(package: Package) -> tuple[str, str]:
    return re.sub(r"[-_.]+", "-", package.name).lower(), package.version


def as_list(wheels: Path) -> str:
    """The permissive ones of a folder of wheels, as a list."""
    found = [package_of(each) for each in sorted(wheels.glob("*.whl"))]
    kept = sorted((each for each in found if permissive(each.licence)), key=key)
    return "".join(f"{p.name}=={p.version}  # {p.licence}\n" for p in kept)
