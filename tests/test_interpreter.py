"""The repository's interpreter: found where tools put it, and only asked."""

import json
import os
import sys
from pathlib import Path

import pytest
from dlmd_finetune.tasks.interpreter import ask, find

from tests.fakes.repositories import bytes_of

NOWHERE = {"PATH": "/nowhere"}


def environment(folder: Path, *, works: bool = True, pytest_there: bool = True) -> Path:
    """An interpreter that says of itself what is asked for."""
    program = folder / "bin/python"
    program.parent.mkdir(parents=True)
    if works:
        facts = {
            "version": [3, 11, 0],
            "executable": str(program),
            "places": [],
            "pytest": "8.4.0" if pytest_there else None,
            "plugins": [],
        }
        text = f"#!/bin/sh\necho '{json.dumps(facts)}'\n"
    else:
        text = "#!/bin/sh\nexit 3\n"
    program.write_text(text)
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("place", [".venv", "venv", "env", ".tox/py311", ".nox/tests"])
def test_environments_of_tools_are_found(tmp_path: Path, place: str) -> None:
    program = environment(tmp_path / place)
    before = bytes_of(tmp_path)
    assert find(tmp_path, None, NOWHERE).python == str(program)
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("name", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_active_one_is_found(tmp_path: Path, name: str) -> None:
    program = environment(tmp_path / "elsewhere")
    env = NOWHERE | {name: str(tmp_path / "elsewhere")}
    assert find(tmp_path / "repo", None, env).python == str(program)


def test_the_one_of_poetry_is_asked_for(tmp_path: Path) -> None:
    program = environment(tmp_path / "cache/poetry-env")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "poetry").write_text(f"#!/bin/sh\necho {tmp_path}/cache/poetry-env\n")
    (tools / "poetry").chmod(0o755)
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "pyproject.toml").write_text("[tool.poetry]\nname = 'x'\n")
    env = {"PATH": f"{tools}:/usr/bin:/bin"}
    assert find(repo, None, env).python == str(program)


def test_one_without_pytest_is_passed_over(tmp_path: Path) -> None:
    environment(tmp_path / ".venv", pytest_there=False)
    environment(tmp_path / "env", works=False)
    program = environment(tmp_path / "venv")
    assert find(tmp_path, None, NOWHERE).python == str(program)


def test_where_none_will_do_each_is_named(tmp_path: Path) -> None:
    environment(tmp_path / ".venv", pytest_there=False)
    environment(tmp_path / "venv", works=False)
    with pytest.raises(ValueError, match="no interpreter with pytest") as told:
        find(tmp_path, None, NOWHERE)
    assert ".venv/bin/python has no pytest" in str(told.value)
    assert "venv/bin/python does not start" in str(told.value)
    assert "--python" in str(told.value)


def test_a_named_one_is_taken_or_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--python nopython: there is no such"):
        find(tmp_path, "nopython")
    program = environment(tmp_path / "x", works=False)
    with pytest.raises(ValueError, match=r"--python .* does not start"):
        find(tmp_path, str(program))


@pytest.mark.slow
def test_it_says_what_it_needs_to_be_read() -> None:
    found = ask(sys.executable)
    assert not isinstance(found, str)
    assert found.version[:2] == sys.version_info[:2] and found.pytest_version >= (8, 0)
    for path in (os.path.abspath(sys.prefix), os.path.abspath(sys.base_prefix)):
        assert any(path == p or path.startswith(p + os.sep) for p in found.places)


@pytest.mark.slow
def test_behind_a_shim_stands_the_interpreter_itself(tmp_path: Path) -> None:
    shim = tmp_path / "shims/python3"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    shim.chmod(0o755)
    path = f"{shim.parent}:/usr/bin:/bin"
    found = find(tmp_path, None, {"PATH": path})
    assert found.python == sys.executable
    assert find(tmp_path, str(shim), NOWHERE).python == sys.executable
