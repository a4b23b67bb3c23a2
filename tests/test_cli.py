"""The command line through real processes, sockets and terminals; parsing through CliRunner."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dlmd.cli import app, sentence
from typer.main import get_command
from typer.testing import CliRunner

from tests.fakes.tiny import tiny_model_folder
from tests.processes import DLMD, Home, Terminal

SOURCE = "def total(xs):\r\n\tacc = 0\r\n\t\r\n\treturn acc"
FILL = "for x in xs: acc += x"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "f.py").write_bytes(SOURCE.encode())
    (tmp_path / "fills.json").write_text(
        json.dumps({"acc = 0\r\n\t": FILL, "one ": "ONE", "two ": "TWO"})
    )
    return Home(tmp_path)


def flags(*command: str) -> list[str]:
    shown: Any = get_command(app)
    for name in command:
        shown = shown.commands[name]
    return [
        name
        for parameter in shown.params
        for name in parameter.opts
        if not parameter.hidden
    ]


def test_the_flags_are_these() -> None:
    assert flags("serve") == [
        *("--model", "--device", "--socket", "--http", "--keep-alive"),
        *("--detach", "--stay"),
    ]
    assert flags("infill") == [
        *(
            "place",
            "--hole",
            "--tokens",
            "--tokens-per-step",
            "--steps",
            "--temperature",
        ),
        *(
            "--top-p",
            "--mode",
            "--seed",
            "--write",
            "--keep-alive",
            "--json",
            "--delay",
            "--socket",
            "--connect",
            "--no-start",
        ),
    ]
    assert flags("status") == ["--json", "--socket", "--connect"]
    assert flags() == ["--version"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["infill"], "Missing argument"),
        (["infill", "-", "--write"], "--write needs FILE:LINE"),
        (["infill", "f:1", "--hole", "X"], "use it with -"),
        (["infill", "-", "--hole", ""], "--hole is empty"),
        (
            ["infill", "f:1", "--mode", "Fast"],
            "'--mode': 'Fast', expected exact, quality or fast\n",
        ),
        (
            ["infill", "f:1", "--tokens", "many"],
            "'--tokens': 'many', expected a whole number\n",
        ),
        (
            ["infill", "f:1", "--temperature", "hot"],
            "'--temperature': 'hot', expected a number\n",
        ),
        (["logs", "-n", "x"], "'x', expected a whole number\n"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, told in done.output) == (2, True), done.output


def test_an_error_of_the_system_becomes_a_sentence() -> None:
    assert (
        sentence(FileNotFoundError(2, "No such file or directory", "a.py"))
        == "a.py: No such file or directory"
    )
    assert sentence(OSError(28, "No space left on device")) == "No space left on device"
    assert sentence(ValueError("two\n  lines")) == "two lines"


@pytest.mark.slow
def test_help_loads_next_to_nothing() -> None:
    code = (
        "import sys, dlmd.cli\n"
        "sys.argv = ['dlmd', '--help']\n"
        "try: dlmd.cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'rich', 'asyncio', 'msgspec', 'websockets', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("eval", "infilling"), ("--data", "--answers", "--limit")),
        (("pretrain",), ("corpus", "--out", "--tokens")),
        (("bench",), ("--infills", "--context", "--json")),
    ],
)
def test_commands_of_other_rooms_explain_themselves(
    home: Home, command: tuple[str, ...], told: tuple[str, ...]
) -> None:
    done = home.run(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert [text for text in told if text not in done.out.decode()] == []


@pytest.mark.slow
def test_version(home: Home) -> None:
    assert re.fullmatch(rb"dlmd \d+\.\d+\.\d+\S*\n", home.run("--version").out)


@pytest.mark.slow
def test_a_pipe_gets_the_whole_text_byte_for_byte_outside_the_hole(home: Home) -> None:
    with home.fake_daemon("--table", str(home.folder / "fills.json")):
        done = home.run("infill", "f.py:3")
    assert (done.code, done.err) == (0, "")
    assert done.out == SOURCE.replace("\t\r\n", f"\t{FILL}\r\n").encode()


@pytest.mark.slow
def test_stdin_with_two_holes(home: Home) -> None:
    with home.fake_daemon("--table", str(home.folder / "fills.json")):
        done = home.run("infill", "-", stdin="a one ⟦⟧\r\nb two ⟦9⟧ é".encode())
        own = home.run("infill", "-", "--hole", "@@", stdin=b"one @@ two @@")
    assert done.out == "a one ONE\r\nb two TWO é".encode()
    assert own.out == b"one ONE two TWO"


@pytest.mark.slow
def test_json_is_one_object_that_names_who_answered(home: Home) -> None:
    with home.fake_daemon("--table", str(home.folder / "fills.json")):
        told = json.loads(home.run("infill", "f.py:3", "--json").out)
    assert (told["model"], told["device"]) == ("fake", "none")
    assert told["candidates"][0]["holes"] == [FILL]
    assert told["usage"]["steps"] > 1


@pytest.mark.slow
def test_write_changes_the_file_in_place_and_prints_nothing(home: Home) -> None:
    os.chmod(home.folder / "f.py", 0o755)
    with home.fake_daemon("--table", str(home.folder / "fills.json")):
        done = home.run("infill", "f.py:3", "--write")
    assert (done.code, done.out, done.err) == (0, b"", "dlmd: wrote f.py\n")
    assert (home.folder / "f.py").read_bytes() == SOURCE.replace(
        "\t\r\n", f"\t{FILL}\r\n"
    ).encode()
    assert (home.folder / "f.py").stat().st_mode & 0o777 == 0o755


@pytest.mark.slow
def test_a_terminal_sees_the_text_being_denoised(home: Home) -> None:
    with home.fake_daemon(
        "--table", str(home.folder / "fills.json"), "--delay-ms", "5"
    ):
        terminal = Terminal(home, "infill", "f.py:3", "--delay", "20")
        done = terminal.finish()
    assert (done.code, done.err) == (0, "")
    steps = re.findall(r"step (\d+) of (\d+)", terminal.text)
    assert (
        len({step for step, _ in steps}) >= int(steps[-1][1]) - 2
    )  # states may be skipped
    drawn = [line for line in terminal.text.splitlines() if line.startswith("3 │")]
    masked = [line.count("░") for line in drawn]
    assert masked == sorted(masked, reverse=True)
    assert masked[0] > masked[len(masked) // 2] > masked[-1] == 0
    assert terminal.text.count("dlmd fake on none") > 3
    assert drawn[-1].rstrip() == f"3 │     {FILL}"
    assert "\x1b[?25h" in terminal.raw  # the cursor is back


@pytest.mark.slow
def test_ctrl_c_cancels_on_the_daemon_and_ends_with_130(home: Home) -> None:
    counter = home.folder / "forwards"
    arguments = ("--default", "x " * 400, "--delay-ms", "20", "--counter", str(counter))
    with home.fake_daemon(*arguments):
        terminal = Terminal(home, "infill", "f.py:3")
        terminal.read_until("step 3 of")
        terminal.interrupt()
        done = terminal.finish()
        assert (done.code, done.err) == (130, "")
        assert "\x1b[?25h" in terminal.raw
        # The next one is answered at once: nothing of the first is still computed.
        reached = int(counter.read_text())
        assert home.run("infill", "f.py:3", "--steps", "1").code == 0
        assert int(counter.read_text()) <= reached + 3


@pytest.mark.slow
def test_settings_are_listed_for_people_and_for_scripts(home: Home) -> None:
    told = home.run("settings", DLMD_MODE="fast").out.decode()
    assert 'mode = "fast"  (by DLMD_MODE)\n    How to decode:' in told
    assert "\nsocket = -\n" in told
    listed = json.loads(home.run("settings", "--json").out)["settings"]
    assert {each["key"]: each["value"] for each in listed}["mode"] == "quality"


@pytest.mark.slow
def test_detach_comes_back_ready_and_infill_starts_a_daemon_on_demand(
    home: Home,
) -> None:
    tiny_model_folder(home.folder / "my model")
    model = str(home.folder / "my model")
    try:
        detached = home.run("serve", "--model", model, "--detach")
        assert (detached.code, detached.out[:9]) == (0, b"ready on ")
        assert home.run("status").code == 0
        assert home.run("stop").code == 0
        filled = home.run(
            "infill", "f.py:3", "--tokens", "4", DLMD_NO_START="0", DLMD_MODEL=model
        )
        assert filled.code == 0
        assert filled.err.startswith("dlmd: starting the dlmd daemon")
        assert filled.out.startswith(SOURCE.split("\r\n\t\r\n")[0].encode())
        assert json.loads(home.run("status", "--json").out)["model"] == model
    finally:
        assert home.run("stop").code == 0


@pytest.mark.slow
def test_ten_who_ask_at_once_start_one_daemon_and_all_are_answered(home: Home) -> None:
    model = str(tiny_model_folder(home.folder / "model"))
    command = [*DLMD, "infill", "f.py:3", "--tokens", "2", "--json"]
    env = home.env(DLMD_NO_START="0", DLMD_MODEL=model)
    try:
        asking = [
            subprocess.Popen(
                command,
                cwd=home.folder,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(10)
        ]
        said = [asked.communicate(timeout=100) for asked in asking]
        assert [asked.returncode for asked in asking] == [0] * 10
        assert {json.loads(out)["model"] for out, _ in said} == {model}
        assert "".join(err for _, err in said).count("starting the dlmd daemon") == 1
    finally:
        home.run("stop")


@pytest.mark.slow
def test_weights_that_left_come_back_with_progress_to_see(home: Home) -> None:
    flags = ("--keep-alive", "0", "--load-ms", "600")
    with home.fake_daemon("--table", str(home.folder / "fills.json"), *flags):
        assert home.run("infill", "f.py:3", "--keep-alive", "-1").code == 0
        assert home.run("ps").out.decode().split()[-3:] == ["ever", "0", "0"]
        assert home.run("infill", "f.py:3").code == 0
        while (seen := home.run("ps")).out.decode().split()[-4] != "idle":
            assert seen.code == 0
        terminal = Terminal(home, "infill", "f.py:3")
        done = terminal.finish()
    assert (done.code, "loading the model: " in terminal.text) == (0, True)
    assert re.search(r"\d+ s left", terminal.text)
    assert FILL in terminal.text


@pytest.mark.slow
def test_serve_takes_the_keep_alive_of_a_flag(home: Home) -> None:
    tiny_model_folder(home.folder / "model")
    assert "expected a time such as" in home.run("serve", "--keep-alive", "soon").err
    with home.daemon(*DLMD, "serve", "--model", "model", "--keep-alive", "0"):
        assert home.run("infill", "f.py:3", "--tokens", "2").code == 0
        while json.loads(home.run("ps", "--json").out)["phase"] != "idle":
            pass


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error_message(home: Home) -> None:
    with home.fake_daemon("--default", "x"):
        command = shlex.join([*DLMD, "infill", "-"])
        done = subprocess.run(
            [
                "bash",
                "-c",
                f"{{ printf ⟦⟧; head -c 1000000 /dev/zero | tr '\\0' y; }} | {command} | head -c 1",
            ],
            capture_output=True,
            env=home.env(),
        )
    assert (done.stdout, done.stderr) == (b"x", b"")


@pytest.mark.slow
def test_ctrl_c_ends_a_foreground_daemon_in_order(home: Home) -> None:
    tiny_model_folder(home.folder / "model")
    with home.daemon(*DLMD, "serve", "--model", "model") as daemon:
        # It says hello: the loop runs, and with it the handlers of signals.
        assert home.run("status").code in (0, 4)
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(20) == 0
    assert not (home.folder / "run" / "daemon.json").exists()
