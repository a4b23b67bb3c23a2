"""The committed list of packages, and how its wheels are got without asking twice."""

import zipfile
from pathlib import Path

import pytest
from dlmd_finetune.packages import LISTED, MOST, as_list, fetch, read_list
from dlmd_finetune.sources import permissive


def write_wheel(folder: Path, name: str, licence: str = "MIT") -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/mod.py", "x = 1\n")
        wheel.writestr(
            f"{name}-1.0.dist-info/METADATA",
            f"Name: {name}\nVersion: 1.0\nLicense-Expression: {licence}\n",
        )
    return path


def write_list(path: Path, *lines: str) -> Path:
    path.write_text("# a comment\n\n" + "".join(f"{line}\n" for line in lines))
    return path


def test_our_list_is_short_pinned_and_permissive() -> None:
    listed = read_list(LISTED)
    assert 100 < len(listed) <= MOST
    assert len({each.name.lower() for each in listed}) == len(listed)
    assert all(each.version and permissive(each.licence) for each in listed)


def test_wheels_that_are_here_are_not_fetched_again(tmp_path: Path) -> None:
    one, two = (write_wheel(tmp_path / "wheels", name) for name in ("one", "two_b"))
    file = write_list(tmp_path / "l.txt", "Two-B==1.0  # MIT", "one==1.0  # MIT")
    assert fetch(file, tmp_path / "wheels") == [two, one]


def test_a_list_of_wheels_is_made_from_what_they_say(tmp_path: Path) -> None:
    for name, licence in (("b", "BSD-3-Clause"), ("a", "MIT"), ("c", "GPL-3.0-only")):
        write_wheel(tmp_path, name, licence)
    assert as_list(tmp_path) == "a==1.0  # MIT\nb==1.0  # BSD-3-Clause\n"


def test_a_wheel_that_is_not_what_the_list_says(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "one", "GPL-3.0-only")
    file = write_list(tmp_path / "l.txt", "one==1.0  # MIT")
    with pytest.raises(ValueError, match=r"states the licence 'GPL-3\.0-only'"):
        fetch(file, tmp_path / "wheels")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("click", "expected a pinned package"),
        ("click>=8  # MIT", "expected a pinned package"),
        ("click==8.5.1", "expected a pinned package"),
        ("readline==8.0  # GPL-3.0", "only permissive licences"),
        ("--index-url==1  # MIT", "expected a pinned package"),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_list(write_list(tmp_path / "l.txt", line))


def test_an_empty_or_an_endless_list(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"lists 0 packages; list 1 to {MOST}"):
        read_list(write_list(tmp_path / "l.txt"))
    many = [f"p{i}==1  # MIT" for i in range(MOST + 1)]
    with pytest.raises(ValueError, match=f"lists {MOST + 1} packages"):
        read_list(write_list(tmp_path / "l.txt", *many))


def test_no_list_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read the list"):
        read_list(tmp_path / "nowhere.txt")


@pytest.mark.slow
def test_what_pip_cannot_bring_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "1" if name == "PIP_NO_INDEX" else str(tmp_path))
    file = write_list(tmp_path / "l.txt", "nothing-of-this-name==1.0  # MIT")
    with pytest.raises(ValueError, match="give their wheels as a folder"):
        fetch(file, tmp_path / "wheels")
