"""The set-up from a bare clone: which Python, which PyTorch, and what it says.

setup.sh runs with a PATH of fake Pythons, make_venv.py with a fake pip in a real
.venv; nothing is downloaded.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import pytest

REPO = Path(__file__).resolve().parent.parent
SHELL = shutil.which("sh") or "/bin/sh"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_venv = load(REPO / "scripts" / "make_venv.py")


def fake(folder: Path, name: str, answer: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!{SHELL}\n{answer}\n")
    (folder / name).chmod(0o755)


def python(answer: str) -> str:
    """A Python that answers setup.sh's question so, and says when it is handed over to."""
    return f'case $1 in -c) echo "{answer}" ;; *) echo "$0 runs $1" ;; esac'


def set_up(tmp_path: Path, **pythons: str) -> subprocess.CompletedProcess[str]:
    clone = tmp_path / "a clone"
    shutil.copytree(REPO / "scripts", clone / "scripts")
    for name, answer in pythons.items():
        fake(tmp_path / "bin", name.replace("_", "-"), answer)
    return subprocess.run(
        [SHELL, "scripts/setup.sh"],
        cwd=clone,
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
    )


def test_the_machines_own_python_is_taken(tmp_path: Path) -> None:
    run = set_up(tmp_path, python3=python("ok"), **{"python3.13": python("ok")})
    assert run.stdout.endswith("/bin/python3 runs scripts/make_venv.py\n")
    assert run.returncode == 0


def test_another_python_is_taken_when_python3_is_old(tmp_path: Path) -> None:
    """python3.13 is there and cannot run, as pyenv leaves it."""
    others = {"python3.13": "exit 127", "python3.12": python("ok")}
    run = set_up(tmp_path, python3=python("old 3.10.13"), **others)
    assert run.stdout.endswith("/bin/python3.12 runs scripts/make_venv.py\n")


@pytest.mark.parametrize(
    ("installer", "hint"),
    [
        ("apt_get", "with: sudo apt install python3 python3-venv"),
        ("dnf", "with: sudo dnf install python3"),
        ("brew", "with: brew install python@3.12"),
        ("none", "install python3 python3-venv (Debian, Ubuntu), python3 (Fedora) or"),
    ],
)
def test_no_python_names_the_package(tmp_path: Path, installer: str, hint: str) -> None:
    run = set_up(tmp_path, **{installer: ":"})
    assert run.returncode == 1
    assert hint in run.stderr
    assert "no python3" in run.stderr
    assert run.stderr.count("\n") == 1


def test_an_old_python_is_named(tmp_path: Path) -> None:
    run = set_up(tmp_path, python3=python("old 3.10.13"), apt_get=":")
    assert run.returncode == 1
    assert "Python 3.10.13, but 3.11 or newer" in run.stderr
    assert "sudo apt install python3.11 python3.11-venv" in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_python_without_venv_names_its_package(tmp_path: Path) -> None:
    run = set_up(tmp_path, python3=python("no-venv 3.11"), apt_get=":")
    assert run.returncode == 1
    assert "sudo apt install python3.11-venv" in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_real_python_answers_the_question(tmp_path: Path) -> None:
    """Not the fakes' words: the probe itself, on this Python and on one without venv."""
    real = f'exec "{sys.executable}" "$@"'
    broken = f'exec "{sys.executable}" -S -c "import sys\nsys.modules[\'ensurepip\'] = None\n$2" "$3"'
    run = set_up(tmp_path, python3=broken, apt_get=":", none=real)
    assert f"python3.{sys.version_info.minor}-venv" in run.stderr


LISTING = "torch (9)\nAvailable versions: {}\n  LATEST: 9\n"


@pytest.mark.parametrize(
    ("listed", "newest"),
    [
        ("2.15.0, 2.14.1, 2.13.0+cpu, 2.13.0, 2.12.1", "2.13.0+cpu"),
        ("2.13.1, 2.13.0+cpu", "2.13.1"),
        ("2.14.0+cpu, 2.10.0+cpu", None),
        ("2.14.0rc1, 2.11.0", "2.11.0"),
        ("2.11", "2.11"),
    ],
)
def test_the_newest_torch_of_the_range(listed: str, newest: str | None) -> None:
    found = make_venv.newest_in_range(LISTING.format(listed), "torch>=2.11,<2.14")
    assert found == newest


def test_no_answer_is_no_version() -> None:
    assert make_venv.newest_in_range("", "torch>=2.11,<2.14") is None


def test_the_requirement_is_the_projects() -> None:
    assert make_venv.torch_requirement() == "torch>=2.11,<2.14"


def asked(default: str, cpu_index: str) -> list[str] | None:
    def answer(options: list[str]) -> str:
        return LISTING.format(cpu_index if "--index-url" in options else default)

    source: list[str] | None = make_venv.torch_source("torch>=2.11,<2.14", answer)
    return source


def test_a_local_cpu_build_needs_no_other_index() -> None:
    assert asked("2.13.0+cpu, 2.13.0", "") == []


def test_otherwise_pytorchs_cpu_index_is_asked() -> None:
    assert asked("2.13.0", "2.13.0+cpu") == ["--index-url", make_venv.CPU_INDEX]


def test_out_of_reach_means_no_cpu_build() -> None:
    assert asked("2.13.0", "") is None


FAKE_PIP = """
import json, os, sys
with open(os.environ["FAKE_PIP_LOG"], "a") as log:
    print(json.dumps(sys.argv[1:]), file=log)
if sys.argv[1] == "index":
    print("Available versions: " + os.environ["FAKE_PIP_HAS"])
if sys.argv[1] == os.environ.get("FAKE_PIP_FAILS"):
    sys.exit("no network")
"""


class Clone:
    """A folder that looks freshly cloned, and a pip that only writes down its orders."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        (folder / "fake" / "pip").mkdir(parents=True)
        (folder / "fake" / "pip" / "__init__.py").touch()
        (folder / "fake" / "pip" / "__main__.py").write_text(FAKE_PIP)
        shutil.copytree(REPO / "scripts", self.root / "scripts")
        shutil.copy(REPO / "pyproject.toml", self.root)
        self.log = folder / "pip.log"
        self.env = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(folder / "fake"),
            "FAKE_PIP_LOG": str(self.log),
        }

    def run(self, has: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "scripts/make_venv.py"],
            cwd=self.root,
            env={**self.env, "FAKE_PIP_HAS": has, **env},
            capture_output=True,
            text=True,
        )

    def installs(self) -> list[list[str]]:
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [order for order in lines if order[0] == "install"]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Its .venv stands half made: pip's real installation would take seconds a test."""
    clone = Clone(tmp_path)
    venv.create(clone.root / ".venv", symlinks=True)
    return clone


on_linux_without_gpu = pytest.mark.skipif(
    not make_venv.wants_cpu_build(), reason="only Linux without a driver chooses"
)


@pytest.mark.slow
@on_linux_without_gpu
def test_first_run_says_what_it_downloads_and_second_does_nothing(clone: Clone) -> None:
    first = clone.run(has="2.13.0+cpu, 2.13.0")
    assert first.returncode == 0, first.stderr
    assert "downloads about 290 MB (of these 190 MB for PyTorch's CPU" in first.stdout
    torch, everything = clone.installs()
    assert "torch>=2.11,<2.14" in torch
    assert "--index-url" not in torch
    assert everything[-1] == f"{clone.root}[dev]"
    second = clone.run()
    assert (second.returncode, second.stdout) == (0, "")
    assert len(clone.installs()) == 2


@pytest.mark.slow
@on_linux_without_gpu
def test_without_any_cpu_build_it_says_how_large_the_other_is(clone: Clone) -> None:
    run = clone.run(has="2.13.0")
    assert run.returncode == 0, run.stderr
    assert "downloads about 2.8 GB" in run.stdout
    assert "no CPU build is within reach" in run.stdout


@pytest.mark.slow
def test_a_failed_install_is_taken_up_again(clone: Clone) -> None:
    failed = clone.run(has="2.13.0+cpu", FAKE_PIP_FAILS="install")
    assert failed.returncode != 0
    assert "pip could not install" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert clone.run(has="2.13.0+cpu").returncode == 0


@pytest.mark.slow
def test_changed_dependencies_install_again_without_a_new_venv(clone: Clone) -> None:
    clone.run(has="2.13.0+cpu")
    made = os.stat(clone.root / ".venv" / "pyvenv.cfg").st_mtime_ns
    with open(clone.root / "pyproject.toml", "a") as project:
        project.write("\n# changed\n")
    clone.run(has="2.13.0+cpu")
    assert len(clone.installs()) == 4
    assert os.stat(clone.root / ".venv" / "pyvenv.cfg").st_mtime_ns == made


@pytest.mark.slow
def test_without_a_venv_one_is_made(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    run = clone.run(has="2.13.0+cpu")
    assert run.returncode == 0, run.stderr
    assert "making .venv" in run.stdout
    python = str(clone.root / ".venv" / "bin" / "python")
    real = [python, "-I", "-m", "pip", "--version"]
    assert subprocess.run(real, capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_moved_clone_makes_its_venv_anew(clone: Clone, tmp_path: Path) -> None:
    """A .venv holds absolute paths: installing into a moved one goes elsewhere."""
    clone.run(has="2.13.0+cpu")
    clone.root = clone.root.rename(tmp_path / "moved")
    run = clone.run(has="2.13.0+cpu")
    assert run.returncode == 0, run.stderr
    assert clone.installs()[-1][-1] == f"{clone.root}[dev]"
    assert str(clone.root) in (clone.root / ".venv" / "bin" / "activate").read_text()
