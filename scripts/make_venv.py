"""Makes .venv and installs dlmd into it, or does nothing when it stands already.

Runs under the machine's own Python before anything is installed, so: standard
library only, and it must import nothing of ours. It says what it will download,
and how large that is, before it does. On Linux without an NVIDIA driver it
prefers PyTorch's CPU build, a tenth of the CUDA one.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "dlmd-setup"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# Megabytes to download, measured with torch 2.13.0 and Python 3.11 by summing
# what `pip install --dry-run --report` lists.
OTHERS_MB = 100
TORCH_MB = {"cpu": 190, "cuda": 2740, "mac": 110}
# A host that drops packets must not hold up the set-up; one that answers slowly may.
PROBE = ["--timeout", "8", "--retries", "0"]


def fingerprint() -> str:
    """Changes when .venv has to be made anew: what it was made from, and where."""
    made_from = [ROOT / "pyproject.toml", Path(__file__)]
    digest = hashlib.sha256(str(VENV).encode())
    for path in made_from:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def up_to_date() -> bool:
    return STAMP.is_file() and STAMP.read_text() == fingerprint()


def torch_requirement() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [found] = [d for d in project["dependencies"] if re.match(r"torch\b", d)]
    return str(found)


def newest_in_range(listing: str, requirement: str) -> str | None:
    """The newest version that `pip index versions` lists and the range allows."""
    low, high = (
        tuple(int(n) for n in bound.split("."))
        for bound in re.findall(r"[<>]=?([\d.]+)", requirement)
    )
    found = re.search(r"Available versions: (.*)", listing)
    for version in found.group(1).split(", ") if found else []:
        release = re.match(r"(\d+(?:\.\d+)*)(?:\+\w+)?$", version.strip())
        if release and low <= tuple(map(int, release.group(1).split("."))) < high:
            return version.strip()
    return None


def wants_cpu_build() -> bool:
    """Linux without an NVIDIA driver; elsewhere the default build is the right one."""
    if platform.system() != "Linux":
        return False
    return not (shutil.which("nvidia-smi") or os.path.exists("/proc/driver/nvidia"))


def torch_source(requirement: str, ask: Callable[[list[str]], str]) -> list[str] | None:
    """pip options that bring PyTorch's CPU build, or None when none can be had.

    The machine's own index and wheel folders go first: they may be all it reaches.
    """
    for options in ([], ["--index-url", CPU_INDEX]):
        newest = newest_in_range(ask([*options, *PROBE]), requirement)
        if newest and newest.endswith("+cpu"):
            return options
    return None


def pip(*arguments: str) -> list[str]:
    return [str(PYTHON), "-m", "pip", *arguments]


def environment() -> dict[str, str]:
    """Ours, less what would send pip's output elsewhere than into .venv."""
    moved = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME"}
    kept = {k: v for k, v in os.environ.items() if k not in moved}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def listed_versions(options: list[str]) -> str:
    run = subprocess.run(
        pip("index", "versions", "torch", *options),
        env=environment(),
        capture_output=True,
        text=True,
    )
    return run.stdout


def announce(build: str, why: str) -> None:
    total = TORCH_MB[build] + OTHERS_MB
    size = f"{total / 1000:.1f} GB" if total >= 1000 else f"{total} MB"
    print(
        f"dlmd: setting up .venv with Python {platform.python_version()}: downloads "
        f"about {size} (of these {TORCH_MB[build]} MB {why}), once.",
        flush=True,
    )


def create() -> None:
    print("dlmd: making .venv", flush=True)
    # A .venv that was moved, or whose Python is gone, cannot be mended in place.
    venv.create(VENV, clear=True, with_pip=True, symlinks=True)


def install() -> None:
    requirement = torch_requirement()
    torch = ["install", "--progress-bar", "on", requirement]
    if wants_cpu_build():
        source = torch_source(requirement, listed_versions)
        if source is None:
            announce("cuda", "for PyTorch with CUDA, as no CPU build is within reach")
        else:
            announce("cpu", "for PyTorch's CPU build, as there is no NVIDIA driver")
            torch += ["--no-deps", *source]
    elif platform.system() == "Linux":
        announce("cuda", "for PyTorch with CUDA, as there is an NVIDIA driver")
    else:
        announce("mac", "for PyTorch")
    subprocess.run(pip(*torch), env=environment(), check=True)
    print("dlmd: installing dlmd and the other packages", flush=True)
    everything = ["install", "-qq", "--editable", f"{ROOT}[dev]"]
    subprocess.run(pip(*everything), env=environment(), check=True)


def usable() -> bool:
    """Whether .venv was made here and its pip runs: scripts in a moved one do not."""
    settings = VENV / "pyvenv.cfg"
    if not settings.is_file() or str(VENV) not in settings.read_text():
        return False
    if not PYTHON.exists():
        return False
    run = subprocess.run(pip("--version"), env=environment(), capture_output=True)
    return run.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only say whether it stands"
    )
    if parser.parse_args().check:
        return 0 if up_to_date() else 1
    # Two `make` at once: the second waits here, then finds everything done.
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if up_to_date() and usable():
            return 0
        STAMP.unlink(missing_ok=True)
        if not usable():
            create()
        try:
            install()
        except subprocess.CalledProcessError as error:
            print(
                "dlmd: pip could not install what is needed (its reason is above); "
                "with the network back, type the same command again",
                file=sys.stderr,
            )
            return error.returncode or 1
        STAMP.write_text(fingerprint())
    print("dlmd: .venv is ready", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
