"""What source is read from where, under which licences, and that it is only read."""

import io
import sysconfig
import tarfile
import zipfile
from itertools import islice
from pathlib import Path

import pytest
from dlmd_finetune.sources import (
    package_of,
    permissive,
    read_installed,
    read_library,
    read_sources,
)

MODULE = "\n".join(f"def f{i}(x):\n    return x + {i}\n" for i in range(20))


def write_wheel(path: Path, licence: str, text: str = MODULE) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("pkg/mod.py", text)
        wheel.writestr(
            "pkg-1.0.dist-info/METADATA",
            f"Name: pkg\nVersion: 1.0\nLicense-Expression: {licence}\n",
        )
    return path


def test_reads_folders_wheels_and_source_archives(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.py").write_text(MODULE)
    write_wheel(tmp_path / "pkg-1.0-py3-none-any.whl", "MIT")
    with tarfile.open(tmp_path / "other-2.0.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("other/b.py")
        info.size = len(MODULE)
        archive.addfile(info, io.BytesIO(MODULE.encode()))
    found = {source.package for source in read_sources([tmp_path])}
    assert found == {"plain", "pkg"}, "an archive that states no licence is left alone"


def test_a_copyleft_wheel_is_not_read(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "pkg-1.0-py3-none-any.whl", "GPL-3.0-only")
    assert package_of(wheel).licence == "GPL-3.0-only"
    assert list(read_sources([tmp_path])) == []


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("BSD License", True),
        ("Apache-2.0 OR BSD-3-Clause", True),
        ("MPL-2.0", False),
        ("LGPLv3+", False),
        ("MIT AND GPL-2.0", False),
        ("not stated", False),
    ],
)
def test_licences(licence: str, allowed: bool) -> None:
    assert permissive(licence) is allowed


def test_missing_corpus_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name a folder of Python source"):
        list(read_sources([tmp_path / "nowhere"]))


def test_a_wheel_says_itself_what_it_is(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "odd-name.whl", "MIT")
    package = package_of(wheel)
    assert (package.name, package.version, package.licence) == ("pkg", "1.0", "MIT")
    source = next(iter(read_sources([wheel])))
    assert (source.package, source.version, source.licence) == ("pkg", "1.0", "MIT")


def test_the_standard_library_without_what_is_installed() -> None:
    first = list(islice(read_library(), 60))
    assert {source.package for source in first} == {"python"}
    assert all("site-packages" not in source.path for source in first)
    root = Path(sysconfig.get_path("stdlib"))
    assert first[0].text == (root / first[0].path).read_text().replace("\r\n", "\n")


def test_installed_packages_come_with_version_and_licence() -> None:
    first = next(source for source in read_installed() if source.package == "anyio")
    assert permissive(first.licence) and first.version[0].isdigit()
