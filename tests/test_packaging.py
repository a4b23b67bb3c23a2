"""What is shipped: the wheel and the source archive, and that the wheel works alone.

"Alone" here means its unpacked files in front of everything on the path, run from another
folder; installing it into an empty environment is scripts/try_wheel.sh, which CI runs.
"""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
PACKAGES = ["daemon/dlmd", "lsp/dlmd_lsp", "finetune/dlmd_finetune"]
POINT = "class Point:\n    def __init__(self, x, y):\n"
EMBEDDED = "dlmd/model/embedded/"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source archive, as `python -m build` does."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), "."]
    subprocess.run(build, cwd=REPO, check=True, capture_output=True, timeout=100)
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    [path] = dist.glob("dlmd-*-py3-none-any.whl")
    return path


def shipped_sources() -> set[str]:
    """Every file of the three packages that git has or would take."""
    run = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *PACKAGES],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    present = (line for line in run.stdout.splitlines() if (REPO / line).exists())
    return {line.split("/", 1)[1] for line in present}


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == shipped_sources()
    assert {"dlmd/py.typed", "dlmd_lsp/py.typed", "dlmd_finetune/py.typed"} <= inside


def test_the_wheel_holds_the_model(wheel: Path) -> None:
    files = {i.filename: i.file_size for i in zipfile.ZipFile(wheel).infolist()}
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert files[EMBEDDED + name] > 0
    assert sum(s for n, s in files.items() if n.startswith(EMBEDDED)) <= 40e6


def test_the_wheel_names_licence_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = [n for n in archive.namelist() if ".dist-info/" in n]
    assert any(n.endswith("licenses/LICENSE") for n in info)
    [entry] = [n for n in info if n.endswith("entry_points.txt")]
    assert "dlmd = dlmd.cli:main" in archive.read(entry).decode()


def test_the_source_archive_can_be_tested(dist: Path) -> None:
    [path] = dist.glob("dlmd-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {"Makefile", "LICENSE", "README.md", "scripts/setup.sh"}
    assert wanted | {"tests/test_packaging.py", "editors/nvim/plugin/dlmd.lua"} <= names
    assert not [name for name in names if name.startswith((".venv", ".e2e"))]


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("a place")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def run(unpacked: Path, folder: Path, *words: str, text: str = "") -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("DLMD_")}
    env["OMP_NUM_THREADS"] = "1"
    env["PYTHONPATH"] = str(unpacked)
    env["DLMD_RUNTIME_DIR"] = str(folder / "run")
    env["DLMD_CONFIG_DIR"] = str(folder / "config")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=env,
        input=text,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_what_runs(unpacked: Path, tmp_path: Path) -> None:
    where = run(unpacked, tmp_path, "-c", "import dlmd; print(dlmd.__path__[0])")
    assert Path(where.strip()).is_relative_to(unpacked)


def test_the_wheel_fills_a_hole_from_another_folder(
    unpacked: Path, tmp_path: Path
) -> None:
    before, after = f"{POINT}        self.x = ", "\n        self.y = y\n"
    try:
        filled = run(
            unpacked, tmp_path, "-m", "dlmd", "infill", "-", text=f"{before}⟦⟧{after}"
        )
    finally:
        run(unpacked, tmp_path, "-m", "dlmd", "stop")
    assert filled.startswith(before)
    assert filled.endswith(after)
    assert filled[len(before) : -len(after)].strip()
