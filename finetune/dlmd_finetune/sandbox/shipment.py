"""What would leave this machine: which files, how many bytes, and which are kept back.

Names that usually hold secrets are kept back, and files that hold a private key, whatever
they are called. Nothing is sent that a person has not seen counted. It must not know
where it goes.
"""

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from dlmd_finetune.sandbox import prepare

FOLDERS = frozenset((".aws", ".ssh", ".gnupg", ".kube", ".docker", ".azure", ".gcloud"))
SECRETS = (
    *(".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks"),
    *(
        "*.keystore",
        "*.kdbx",
        "id_rsa*",
        "id_dsa*",
        "id_ecdsa*",
        "id_ed25519*",
        ".netrc",
    ),
    *("_netrc", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd", ".dockercfg"),
    *("credentials", "credentials.*", "*credentials*.json", "secret", "secret.*"),
    *("secrets", "secrets.*", "*.secret", "*secret*.yml", "*secret*.yaml", "*.token"),
    *(
        "service-account*.json",
        "service_account*.json",
        "*.tfstate*",
        "*.tfvars",
        "*.ovpn",
    ),
)
HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist")
KEY = b"PRIVATE KEY-----"
SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    names: tuple[str, ...]
    size: int  # bytes of these files
    withheld: tuple[str, ...]
    digest: str  # of names and contents

    @property
    def files(self) -> int:
        return len(self.names)


def shipment(tree: Path) -> Shipment:
    names, withheld, size, digest = [], [], 0, hashlib.sha256()
    for name in _files(tree):
        data = (tree / name).read_bytes()
        if is_secret(name, data):
            withheld.append(name)
            continue
        names.append(name)
        size += len(data)
        digest.update(f"{name}\0{len(data)}\0".encode(errors="surrogateescape") + data)
    return Shipment(
        names=tuple(names),
        size=size,
        withheld=tuple(withheld),
        digest=digest.hexdigest(),
    )


def question(shipment: Shipment, where: str = "E2B") -> str:
    """To be put to a person, who may say no."""
    kept = ", ".join(shipment.withheld[:SHOWN]) or "none"
    more = len(shipment.withheld) - SHOWN
    shown = ", ".join(shipment.names[:SHOWN])
    return (
        f"{shipment.files} files ({shipment.size / 1e6:.1f} MB) and every candidate would "
        f"leave this machine for {where}: {shown}"
        f"{', …' if shipment.files > SHOWN else ''}. Kept back as likely secrets: "
        f"{kept}{f' and {more} more' if more > 0 else ''}. Send them?"
    )


def is_secret(name: str, data: bytes) -> bool:
    parts = name.lower().split("/")
    if any(part in FOLDERS for part in parts[:-1]):
        return True
    if parts[-1] in HARMLESS:
        return False
    return any(fnmatch(parts[-1], p) for p in SECRETS) or KEY in data[: 2**20]


def packed(files: dict[str, Path]) -> bytes:
    """The same files always give the same archive."""
    told = io.BytesIO()
    with tarfile.open(fileobj=told, mode="w:gz", compresslevel=6) as archive:
        for name, path in files.items():
            about = tarfile.TarInfo(name)
            data = path.read_bytes()
            about.size, about.mode = len(data), 0o644
            archive.addfile(about, io.BytesIO(data))
    return told.getvalue()


def _files(tree: Path) -> list[str]:
    found: list[str] = []
    stack = [tree]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    continue
                if entry.is_dir():
                    if not prepare.skipped(entry):
                        stack.append(Path(entry.path))
                elif entry.is_file() and not entry.name.endswith((".pyc", ".pyo")):
                    found.append(os.path.relpath(entry.path, tree).replace(os.sep, "/"))
    return sorted(found)
