"""Which files are learnt from, and how pytest is to be called."""

from pathlib import Path

import pytest
from dlmd_finetune.tasks import sources
from dlmd_finetune.tasks.interpreter import Interpreter

from tests.fakes.repositories import repository

BODY = "def f(x):\n    y = x\n    return y\n"


def python(pytest_version: str = "8.3.1", *plugins: str) -> Interpreter:
    return Interpreter(
        python="python",
        version=(3, 11),
        pytest=pytest_version,
        plugins=plugins,
        places=(),
    )


def test_tests_are_never_learnt_from(tmp_path: Path) -> None:
    names = [
        "a.py",
        "pkg/b.py",
        "tests/c.py",
        "pkg/tests/d.py",
        "test_e.py",
        "f_test.py",
    ]
    names += [
        "conftest.py",
        "setup.py",
        "test.py",
        "docs/conf.py",
        "contest.py",
        "latest/g.py",
    ]
    repo = repository(tmp_path, dict.fromkeys(names, BODY), history=False)
    found = sources.read(repo, [])
    assert {*found.texts} == {"a.py", "pkg/b.py", "contest.py", "latest/g.py"}
    assert len(found.functions) == 4 and found.notes == []


def test_what_is_set_aside_is_named(tmp_path: Path) -> None:
    repo = repository(
        tmp_path,
        {"a.py": BODY, "broken.py": "def f(:\n", "n/x.ipynb": "{}", "y.ipynb": "{}"},
        history=False,
    )
    repository(repo / "vendor/other", {"b.py": BODY})
    (repo / "old.py").write_bytes(b"# caf\xe9\nx = 1\n")
    inner = sources.inner_repositories(repo)
    found = sources.read(repo, inner)
    assert {*found.texts} == {"a.py"}
    told = " ".join(found.notes)
    for sentence in (
        "broken.py does not parse: invalid syntax",
        "old.py is not UTF-8; left out.",
        "Notebooks are left out (2): pytest does not test what is in them.",
        "vendor/other is a repository of its own; left out.",
    ):
        assert sentence in told


@pytest.mark.parametrize(
    ("files", "roots"),
    [
        ({"a.py": ""}, "."),
        ({"src/pkg/a.py": "", "pyproject.toml": ""}, "src ."),
        (
            {"libs/one/src/o.py": "", "libs/one/pyproject.toml": ""},
            ". libs/one/src libs/one",
        ),
        ({"pytest.ini": "[pytest]\npythonpath = lib extra\n"}, "lib extra ."),
        (
            {"pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["lib"]\n'},
            "lib .",
        ),
    ],
)
def test_packages_are_found_in_the_copy(
    tmp_path: Path, files: dict[str, str], roots: str
) -> None:
    repo = repository(tmp_path, files, history=False)
    args = sources.pytest_args(repo, python())
    assert args == ("-o", f"pythonpath={roots}")


def test_plugins_that_would_split_or_watch_the_run_are_told_not_to(
    tmp_path: Path,
) -> None:
    assert sources.pytest_args(tmp_path, python("6.2", "xdist", "pytest_cov")) == (
        *("-n0", "--no-cov"),
    )
