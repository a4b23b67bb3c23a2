"""Seeded faults, each found with the fix that mends it.

Files, environment, programs and daemons are real. Most tests ask in this process, because
the command loads torch each time.
"""

import json
import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dlmd.serve import doctor
from dlmd.serve.findings import Finding, worst
from dlmd.settings import Settings

from tests.fakes.tiny import tiny_model_folder
from tests.processes import Home

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(autouse=True)
def inside(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in home.env().items():
        monkeypatch.setenv(name, value)


def findings(grade: str) -> dict[str, Finding]:
    found = doctor.examine()
    assert worst(found) == grade
    return {each.name: each for each in found}


def test_a_healthy_machine(home: Home) -> None:
    """By the command, for scripts and for people."""
    told = home.run("doctor", "--json", DLMD_NO_START="")
    assert (told.code, told.err) == (0, "")
    report = json.loads(told.out)
    assert report["grade"] == "ok"
    assert {each["grade"] for each in report["findings"]} == {"ok"}
    assert {each["fix"] for each in report["findings"]} == {""}


def _settings(home: Home, text: str) -> None:
    (home.folder / "config").mkdir(exist_ok=True)
    (home.folder / "config" / "config.toml").write_text(text)


def _program(home: Home, name: str, text: str) -> str:
    folder = home.folder / "bin"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def wrong_setting(home: Home) -> dict[str, str]:
    _settings(home, 'device = "gpu"\n')
    return {}


def gpu_that_torch_does_not_see(home: Home) -> dict[str, str]:
    path = _program(home, "nvidia-smi", 'echo "580.95, NVIDIA GeForce RTX 4090"')
    return {"PATH": path, "CUDA_VISIBLE_DEVICES": "-1"}


def card_that_is_not_there(home: Home) -> dict[str, str]:
    return {"DLMD_DEVICE": "cuda:7"}


def model_that_was_not_pulled(home: Home) -> dict[str, str]:
    return {"DLMD_MODEL": "diffucoder-7b-instruct"}


def model_folder_that_holds_something_else(home: Home) -> dict[str, str]:
    folder = tiny_model_folder(home.folder / "gpt")
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    return {"DLMD_MODEL": str(folder)}


def model_too_large_for_memory(home: Home) -> dict[str, str]:
    folder = tiny_model_folder(home.folder / "large")
    with (folder / "more.safetensors").open("wb") as hole:
        hole.truncate(1 << 42)  # sparse: it takes no room
    return {"DLMD_MODEL": str(folder)}


def runtime_folder_that_others_may_enter(home: Home) -> dict[str, str]:
    (home.folder / "run").mkdir(mode=0o700)
    (home.folder / "run").chmod(0o755)
    return {}


def runtime_folder_that_is_a_link(home: Home) -> dict[str, str]:
    (home.folder / "elsewhere").mkdir(mode=0o700)
    (home.folder / "run").symlink_to(home.folder / "elsewhere")
    return {}


def socket_path_too_long(home: Home) -> dict[str, str]:
    return {"DLMD_SOCKET": f"/tmp/{'x' * 110}.sock"}


def socket_that_is_a_file(home: Home) -> dict[str, str]:
    (home.folder / "d.sock").write_text("mine")
    return {"DLMD_SOCKET": str(home.folder / "d.sock")}


def token_that_others_may_read(home: Home) -> dict[str, str]:
    (home.folder / "run").mkdir(mode=0o700)
    path = home.folder / "run" / "http.token"
    path.write_text("x" * 43)
    path.chmod(0o644)
    return {}


def daemon_elsewhere_that_is_no_place(home: Home) -> dict[str, str]:
    return {"DLMD_CONNECT": "gpu-box:22"}


FAULTS: list[tuple[Callable[[Home], dict[str, str]], str, str, str]] = [
    (wrong_setting, "settings", "gpu", "config.toml"),
    (gpu_that_torch_does_not_see, "device", "580.95", "install a PyTorch"),
    (card_that_is_not_there, "device", "cuda:7", ""),
    (model_that_was_not_pulled, "model", "dlmd pull", "embedded"),
    (model_folder_that_holds_something_else, "model", "mask_token_id", "embedded"),
    (model_too_large_for_memory, "memory", "wanted of", "--quantise int8"),
    (runtime_folder_that_others_may_enter, "runtime folder", "open to others", "chmod"),
    (runtime_folder_that_is_a_link, "runtime folder", "symbolic link", "DLMD_RUNTIME"),
    (socket_path_too_long, "socket", "bytes long", "shorter path"),
    (socket_that_is_a_file, "socket", "is no socket", "another path"),
    (token_that_others_may_read, "token", "others may open", "rm "),
    (daemon_elsewhere_that_is_no_place, "connect", "no place", "connect"),
]


@pytest.mark.parametrize(
    ("seed", "name", "seen", "fix"), FAULTS, ids=[each[0].__name__ for each in FAULTS]
)
def test_a_seeded_fault_is_found(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    seed: Callable[[Home], dict[str, str]],
    name: str,
    seen: str,
    fix: str,
) -> None:
    for key, value in seed(home).items():
        monkeypatch.setenv(key, value)
    found = findings("fault")[name]
    assert found.grade == "fault"
    assert seen in found.seen and fix in found.fix
    assert found.fix or "; " in found.seen  # somewhere it says what to do


def test_a_daemon_that_hangs(home: Home) -> None:
    with home.fake_daemon() as daemon:
        daemon.send_signal(signal.SIGSTOP)
        found = findings("fault")["daemon"]
        daemon.send_signal(signal.SIGCONT)
        assert "does not answer" in found.seen and "kill" in found.fix
        assert findings("ok")["daemon"].seen.endswith(("loading", "ready"))


def test_a_daemon_of_another_version(home: Home) -> None:
    with home.fake_daemon():
        path = home.folder / "run" / "daemon.json"
        told = json.loads(path.read_text())
        path.write_text(json.dumps(told | {"version": "0.0.1"}))
        found = findings("fault")["daemon"]
    assert "0.0.1" in found.seen and "dlmd stop" in found.fix


def test_a_model_that_failed_to_load(home: Home) -> None:
    flags = ("--load-error", "no weights here", "--stay-on-failure")
    with home.fake_daemon(*flags):
        deadline = time.monotonic() + 30
        while doctor.daemon(Settings()).grade == "ok":
            assert time.monotonic() < deadline
        found = findings("fault")["daemon"]
    assert "no weights here" in found.seen and found.fix


def test_for_people(home: Home) -> None:
    (home.folder / "run").mkdir(mode=0o700)
    (home.folder / "run").chmod(0o777)
    told = home.run("doctor")
    assert told.code == 1
    assert "!!  runtime folder:" in told.out.decode()
    assert (
        stat.S_IMODE((home.folder / "run").stat().st_mode) == 0o777
    )  # nothing is mended


@pytest.mark.parametrize("name", ["win32", "cygwin", "msys"])
def test_native_windows(name: str) -> None:
    found = doctor.platform(name, (3, 11))
    assert found.grade == "fault" and "WSL2" in found.fix


def test_another_python() -> None:
    assert doctor.platform("linux", (3, 10)).grade == "fault"
    assert doctor.platform("linux", (3, 14)).grade == "warning"
