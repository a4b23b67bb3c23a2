"""Code of a repository is run only after somebody said that it may be."""

import io
import sys
from pathlib import Path

import pytest
from dlmd_finetune.tasks import trust


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_it_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"nobody has said that they may be; .*--trust"
    ):
        trust.ensure(tmp_path, "bubblewrap", False, tmp_path / "kept")
    trust.ensure(tmp_path, "bubblewrap", True, tmp_path / "kept")
    trust.ensure(tmp_path, "bubblewrap", False, tmp_path / "kept")


@pytest.mark.parametrize(
    ("answer", "trusted"), [("y\n", True), ("", False), ("n\n", False)]
)
def test_in_a_terminal_it_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, trusted: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if not trusted:
        with pytest.raises(ValueError):
            trust.ensure(tmp_path, "bubblewrap", False, tmp_path / "kept")
        return
    trust.ensure(tmp_path, "bubblewrap", False, tmp_path / "kept")
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    trust.ensure(tmp_path, "bubblewrap", False, tmp_path / "kept")


def test_less_isolation_is_asked_for_again(tmp_path: Path) -> None:
    trust.ensure(tmp_path, "bubblewrap", True, tmp_path / "kept")
    with pytest.raises(ValueError):
        trust.ensure(tmp_path, "subprocess", False, tmp_path / "kept")


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_broken_file_trusts_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "trusted.json").write_text(text)
    with pytest.raises(ValueError):
        trust.ensure(tmp_path / "repo", "bubblewrap", False, tmp_path)
