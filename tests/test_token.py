"""The token of the port: made once, kept, private. Planted ones are in tests/attacks."""

import stat
from pathlib import Path

import pytest
from dlmd.wire import token


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def test_it_is_made_once_and_kept() -> None:
    first = token.kept_token()
    assert len(first) == 43
    assert token.kept_token() == first
    assert token.read_token(token.token_path()) == first
    assert stat.S_IMODE(token.token_path().stat().st_mode) == 0o600


def test_another_folder_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = token.kept_token()
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "other"))
    assert token.kept_token() != first


def test_only_the_same_matches() -> None:
    assert token.matches("abc", "abc")
    for other in ("", "ab", "abcd", "abC", "ab\u00ff"):
        assert not token.matches(other, "abc")
