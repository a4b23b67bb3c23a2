"""`dlmd doctor`: what is wrong on this machine, and what to type next.

Each check looks at one thing and gives one finding, so that a fault in one hides no other.
The same findings as JSON are what editors show. Nothing is changed, and no daemon started.
"""

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlmd import settings
from dlmd.profiles import EMBEDDED_FOLDER
from dlmd.serve import room
from dlmd.serve.findings import Finding
from dlmd.settings import Settings
from dlmd.store import shelf, verify
from dlmd.wire import discovery, runtime, token
from dlmd.wire.client import Client, Endpoint
from dlmd.wire.protocol import Status

ROOM_FOR_LOGS = 100 * 1000**2  # bytes
ANSWERS_S = 5.0
TORCH = ((2, 11), (2, 14))  # as pyproject.toml has it


def examine() -> list[Finding]:
    """Every check, in the order in which a user would mend things."""
    chosen, first = _settings()
    checks: dict[str, Callable[[], Finding]] = {
        "platform": lambda: platform(sys.platform, sys.version_info[:2]),
        "settings": lambda: first,
        "torch": torch_version,
        "device": lambda: device(chosen),
        "model": lambda: model(chosen),
        "memory": lambda: memory(chosen),
        "runtime folder": runtime_folder,
        "socket": lambda: socket(chosen),
        "token": token_file,
        "disk": disk,
        "connect": lambda: connection(chosen),
        "daemon": lambda: daemon(chosen),
    }
    return [_guarded(name, check) for name, check in checks.items()]


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (ValueError, OSError) as error:
        return Finding(name=name, grade="fault", seen=str(error))


# ---- the machine


def platform(name: str, python: tuple[int, int]) -> Finding:
    if name in ("win32", "cygwin", "msys"):
        return Finding(
            name="platform",
            grade="fault",
            seen="this is native Windows, which dlmd does not run on",
            fix="install WSL2 (`wsl --install`) and dlmd inside it; editors on Windows "
            "reach it from there",
        )
    version = ".".join(map(str, python))
    if not (3, 11) <= python <= (3, 13):
        return Finding(
            name="platform",
            grade="fault" if python < (3, 11) else "warning",
            seen=f"Python {version}, expected 3.11 to 3.13",
            fix="make the environment with another Python, as in "
            "`pipx install --python python3.12 .` in a clone of dlmd",
        )
    return Finding(name="platform", grade="ok", seen=f"{name}, Python {version}")


def torch_version() -> Finding:
    from importlib import metadata

    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Finding(
            name="torch",
            grade="fault",
            seen="PyTorch is not installed",
            fix="install dlmd again: `pipx reinstall dlmd`",
        )
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2])
    seen = f"PyTorch {version}"
    if not TORCH[0] <= numbers < TORCH[1]:
        low, high = (".".join(map(str, each)) for each in TORCH)
        return Finding(
            name="torch",
            grade="warning",
            seen=f"{seen}, expected from {low} to below {high}",
            fix=f'`pip install "torch>={low},<{high}"` in the environment of dlmd',
        )
    return Finding(name="torch", grade="ok", seen=seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    version: str
    cards: tuple[str, ...]


def driver() -> Driver | None:
    """What NVIDIA's driver says there is; None where there is no driver, or no answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=driver_version,name", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        told = subprocess.run(query, capture_output=True, text=True, timeout=10)
        rows = [row.split(", ", 1) for row in told.stdout.splitlines() if ", " in row]
        if told.returncode == 0 and rows:
            cards = tuple(row[1].strip() for row in rows)
            return Driver(version=rows[0][0].strip(), cards=cards)
    return None


def device(chosen: Settings) -> Finding:
    import torch

    from dlmd.model import cuda

    found, there = cuda.cards(), driver()
    if there is not None and not found:
        built = torch.version.cuda
        build = "a CPU build" if built is None else f"built for CUDA {built}"
        return Finding(
            name="device",
            grade="fault",
            seen=f"the driver {there.version} sees {', '.join(there.cards)}, PyTorch "
            f"{torch.__version__} ({build}) sees no GPU",
            fix="install a PyTorch that fits the driver: `pip install --force-reinstall "
            "torch` in the environment of dlmd, or a newer driver; `dlmd serve --device "
            "cpu` runs without it",
        )
    picked = cuda.choose(chosen.device)
    if found:
        cards = "; ".join(
            f"{card.device} {card.name}, {card.free / 1e9:.1f} of "
            f"{card.total / 1e9:.1f} GB free"
            for card in found
        )
        return Finding(name="device", grade="ok", seen=f"{picked} of {cards}")
    return Finding(name="device", grade="ok", seen=f"{picked}, {os.cpu_count()} cores")


# ---- what is to run


def _settings() -> tuple[Settings, Finding]:
    try:
        chosen = settings.load()
    except ValueError as error:
        return Settings(), Finding(
            name="settings",
            grade="fault",
            seen=str(error),
            fix=f"correct or delete {settings.config_file()}, or the variable it names",
        )
    path = settings.config_file()
    seen = str(path) if path.exists() else f"defaults (no {path})"
    return chosen, Finding(name="settings", grade="ok", seen=seen)


def model(chosen: Settings) -> Finding:
    """Is it there, and is it what was pulled? Reads every byte of it."""
    from dlmd.model import read_config
    from dlmd.serve import which

    try:
        wanted = which.configured(chosen.model)
        read_config(wanted.folder)
        verify.check(wanted.folder)
        if not any(wanted.folder.glob("*.safetensors")):
            raise ValueError(f"{wanted.folder} holds no *.safetensors")
    except ValueError as error:
        return Finding(
            name="model",
            grade="fault",
            seen=str(error),
            fix="see above, or `dlmd serve --model embedded` meanwhile",
        )
    note = ""
    if wanted.folder == EMBEDDED_FOLDER:
        note = ": small, for trying dlmd out; `dlmd ls --all` lists larger ones"
    return Finding(name="model", grade="ok", seen=f"{wanted.name}{note}")


def memory(chosen: Settings) -> Finding:
    """What fits, and what does not."""
    wanted = room.need(chosen)
    if wanted.fits:
        return Finding(name="memory", grade="ok", seen=wanted.seen)
    return Finding(
        name="memory",
        grade="fault",
        seen=wanted.seen,
        fix="`dlmd serve --quantise int8` needs half of it; else end what takes the "
        "memory, or name a smaller model",
    )


# ---- the daemon's place


def runtime_folder() -> Finding:
    path = runtime.runtime_path()
    if not path.exists() and not path.is_symlink():
        return Finding(name="runtime folder", grade="ok", seen=f"{path}, not made yet")
    try:
        runtime.check_private(path)
        if not os.access(path, os.W_OK):
            raise ValueError(f"{path} cannot be written to")
    except ValueError as error:
        return Finding(
            name="runtime folder",
            grade="fault",
            seen=str(error),
            fix=f"`chmod 700 {path}` if it is yours; else set DLMD_RUNTIME_DIR",
        )
    return Finding(name="runtime folder", grade="ok", seen=str(path))


def socket(chosen: Settings) -> Finding:
    path = Path(chosen.socket).absolute() if chosen.socket else None
    if path is None:
        return Finding(name="socket", grade="ok", seen="the runtime folder's")
    size = len(os.fsencode(path))
    if size > runtime.SOCKET_PATH_BYTES:
        return Finding(
            name="socket",
            grade="fault",
            seen=f"{path} is {size} bytes long, the system allows "
            f"{runtime.SOCKET_PATH_BYTES}",
            fix="name a shorter path, or leave `socket` out of the settings",
        )
    if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
        return Finding(
            name="socket",
            grade="fault",
            seen=f"{path} is no socket",
            fix="move that file away, or name another path",
        )
    return Finding(name="socket", grade="ok", seen=str(path))


def token_file() -> Finding:
    path = token.token_path()
    try:
        token.read_token(path)
    except FileNotFoundError:
        return Finding(name="token", grade="ok", seen="none yet; made with --http")
    except ValueError as error:
        return Finding(
            name="token",
            grade="fault",
            seen=str(error),
            fix=f"`rm {path}` and start the daemon again, which makes a new one",
        )
    return Finding(name="token", grade="ok", seen=str(path))


def disk() -> Finding:
    """Room for the log, and where models go."""
    folder = shelf.models_dir()
    while not folder.exists():
        folder = folder.parent
    place = runtime.runtime_path()
    while not place.exists():
        place = place.parent
    here, there = shutil.disk_usage(folder).free, shutil.disk_usage(place).free
    if there < ROOM_FOR_LOGS:
        return Finding(
            name="disk",
            grade="fault",
            seen=f"{there / 1e6:.0f} MB free at {place}, where the daemon keeps its log",
            fix="make room there, or set DLMD_RUNTIME_DIR to another place",
        )
    seen = f"{here / 1e9:.1f} GB free for models at {folder}"
    return Finding(name="disk", grade="ok", seen=seen)


def connection(chosen: Settings) -> Finding:
    from dlmd.wire.remote import endpoint_of

    if chosen.connect is None:
        return Finding(name="connect", grade="ok", seen="this machine's own daemon")
    try:
        there = endpoint_of(chosen.connect)
    except ValueError as error:
        return Finding(
            name="connect", grade="fault", seen=str(error), fix="correct `connect`"
        )
    if there.ssh is not None and shutil.which("ssh") is None:
        return Finding(
            name="connect",
            grade="fault",
            seen=f"{there} wants ssh, and there is none on the PATH",
            fix="install OpenSSH's client",
        )
    return Finding(name="connect", grade="ok", seen=str(there))


def daemon(chosen: Settings) -> Finding:
    """Is one running, does it answer, and is it this version's?"""
    found = discovery.read()
    if found is None:
        note = "; none is started on demand" if chosen.no_start else ""
        return Finding(name="daemon", grade="ok", seen=f"none runs{note}")
    seen = f"process {found.pid} at {found.socket}, version {found.version}"
    if found.version != discovery.version():
        return Finding(
            name="daemon",
            grade="fault",
            seen=f"{seen}; this is {discovery.version()}",
            fix="`dlmd stop`; the next request starts the new one",
        )
    try:
        status = asyncio.run(_status(found.socket))
    except (ValueError, OSError, TimeoutError):
        return Finding(
            name="daemon",
            grade="fault",
            seen=f"{seen} does not answer",
            fix=f"see `dlmd logs`; `kill {found.pid}` ends it",
        )
    if status.phase == "failed":
        return Finding(
            name="daemon",
            grade="fault",
            seen=f"{seen}: {status.detail or 'failed'}",
            fix=status.fix or "see `dlmd logs`",
        )
    return Finding(name="daemon", grade="ok", seen=f"{seen}, {status.phase}")


async def _status(socket: Path) -> Status:
    async with Client.connect(Endpoint(socket=socket), timeout=ANSWERS_S) as client:
        return client.status
