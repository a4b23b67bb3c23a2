"""What would leave the machine, and what is kept back."""

from pathlib import Path

import pytest
from dlmd_finetune.sandbox.shipment import is_secret, packed, question, shipment


@pytest.mark.parametrize(
    "name",
    [
        *(".env", "app/.env.production", "deploy/server.PEM", "id_ed25519", ".npmrc"),
        *(
            "config/credentials.json",
            ".aws/config",
            "secrets.yaml",
            "a/.ssh/known_hosts",
        ),
        *(
            "infra/terraform.tfstate",
            "my-secret.yml",
            ".pypirc",
            "service-account-x.json",
        ),
    ],
)
def test_names_of_secrets_are_kept_back(name: str) -> None:
    assert is_secret(name, b"")


@pytest.mark.parametrize(
    "name",
    [".env.example", "env.py", "keys.py", "secretary.py", "tokens.py", "toy/key.txt"],
)
def test_ordinary_names_are_not(name: str) -> None:
    assert not is_secret(name, b"x = 1\n")


def test_a_private_key_is_one_under_any_name() -> None:
    assert is_secret("notes.txt", b"see\n-----BEGIN OPENSSH PRIVATE" + b" KEY-----\n")


def test_files_bytes_and_what_is_kept_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x" * 1000)
    (tmp_path / ".env").write_bytes(b"TOKEN=1")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_bytes(b"url")
    (tmp_path / "link").symlink_to("/etc/passwd")
    found = shipment(tmp_path)
    assert (found.names, found.size, found.withheld) == (("a.py",), 1000, (".env",))
    said = question(found)
    assert "1 files (0.0 MB)" in said and "a.py" in said and "secrets: .env." in said


def test_any_change_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x")
    before = shipment(tmp_path)
    assert shipment(tmp_path) == before
    (tmp_path / "a.py").write_bytes(b"y")
    assert shipment(tmp_path).digest != before.digest


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x")
    assert (
        packed({"a": tmp_path / "a.py"})[10:] == packed({"a": tmp_path / "a.py"})[10:]
    )
