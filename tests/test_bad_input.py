"""What goes wrong in a person's day: each time one sentence, an exit code, and nothing lost."""

import json
import os
import shutil
import signal
import socket
import struct
from pathlib import Path

import pytest

from tests.fakes.tiny import tiny_model_folder
from tests.processes import Answer, Home, Terminal

pytestmark = pytest.mark.slow
NO_PLACE = "/dev/null/dlmd"  # nobody can make a folder below a device, root neither


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "f.py").write_bytes(b"a = 1\n")
    return Home(tmp_path)


def refused(done: Answer, *said: str, code: int = 1) -> None:
    assert done.code == code, done
    assert done.out == b""
    assert done.err.count("\n") == 1 and done.err.startswith("dlmd: "), done.err
    assert [text for text in said if text not in done.err] == [], done.err


@pytest.mark.parametrize(
    ("place", "data", "said"),
    [
        ("f.py:9", b"a\n", "f.py has 2 lines, so there is no line 9"),
        ("f.py:1:7", b"a\n", "line 1 of f.py has 1 character, so there is no column 7"),
        ("f.py:0", b"a\n", "there is no line 0"),
        ("f.py", b"a\n", "write FILE:LINE or FILE:LINE:COL"),
        ("gone.py:1", b"", "gone.py: No such file or directory"),
        (".:1", b"", ".: Is a directory"),
        (
            "f.py:1",
            b"\x89PNG\r\n\x1a\n\0",
            "f.py is not UTF-8 text (byte 0x89 at offset 0)",
        ),
        ("f.py:1", b"\x7fELF\0\0", "f.py is a binary file (a NUL at offset 4)"),
        ("f.py:1", "é".encode("utf-16"), "f.py is not UTF-8 text"),
    ],
)
def test_no_such_place(home: Home, place: str, data: bytes, said: str) -> None:
    (home.folder / "f.py").write_bytes(data)
    refused(home.run("infill", place), said)


def test_stdin_without_a_hole_or_without_text(home: Home) -> None:
    refused(home.run("infill", "-", stdin=b"nothing"), "no hole in the text; put ⟦⟧")
    refused(home.run("infill", "-", stdin=b"\xff\xfe"), "stdin is not UTF-8 text")
    refused(home.run("infill", "-", shell="exec 0<&-"), "no hole in the text")


def test_a_hole_in_an_empty_file_is_filled(home: Home) -> None:
    (home.folder / "f.py").write_bytes(b"")
    with home.fake_daemon("--default", "import os"):
        done = home.run("infill", "f.py:1", "--write")
    assert done.code == 0
    assert (home.folder / "f.py").read_bytes() == b"import os"


def test_a_file_of_5_mb_is_filled(home: Home) -> None:
    line = b"x = '\xc3\xa9' \xf0\x9f\x98\x80\r\n"
    text = line * (5_000_000 // len(line))
    (home.folder / "f.py").write_bytes(text)
    with home.fake_daemon("--default", "y"):
        done = home.run("infill", "f.py:100000")
    at = len(line) * 100_000 - 2
    assert done.out == text[:at] + b"y" + text[at:]


def test_a_file_beyond_the_limit_is_refused_with_the_limit(home: Home) -> None:
    (home.folder / "f.py").write_bytes(b"x" * 9_000_000)
    with home.fake_daemon():
        refused(home.run("infill", "f.py:1"), "9000000 characters", "8000000")


def test_numbers_out_of_bounds_name_the_bound(home: Home) -> None:
    with home.fake_daemon():
        for flag, value, told in (
            ("--tokens", "9999", "a whole number from 1 to 1024"),
            ("--tokens", "0", "a whole number from 1 to 1024"),
            ("--steps", "0", "a whole number from 1 to 1024"),
            ("--seed", "-1", "a whole number from 0 to 9223372036854775807"),
            ("--delay", "20000", "a whole number from 0 to 10000"),
            ("--keep-alive", "10y", 'a time such as "10m"'),
        ):
            done = home.run("infill", "f.py:1", flag, value)
            refused(done, f"{flag} is ", value, f", expected {told}")
        refused(home.run("logs", "-n", "-5"), "--lines is -5, expected")
        refused(
            home.run("infill", "f.py:1", "--temperature", "-1"),
            "--temperature is -1, expected",
        )
        refused(
            home.run("infill", "f.py:1", "--steps", "2", "--tokens-per-step", "2"),
            "--steps is 2 and --tokens-per-step 2, expected at most one",
        )
        refused(home.run("infill", "-", stdin="⟦0⟧".encode()), "⟦0⟧", "expected 1 to")
        refused(home.run("infill", "-", stdin="⟦9999⟧".encode()), "⟦9999⟧", "1024")


def test_no_daemon_and_none_may_be_started(home: Home) -> None:
    refused(home.run("infill", "f.py:1"), "no daemon", "`dlmd serve`")
    flag = home.run("infill", "f.py:1", "--no-start", DLMD_NO_START="0")
    refused(flag, "no daemon runs and none may be started", "`dlmd serve`")
    refused(
        home.run("infill", "f.py:1", "--socket", "gone.sock"), "no daemon at gone.sock"
    )
    refused(home.run("bench"), "no daemon")


def test_a_stale_socket_is_no_daemon_and_is_taken_over(home: Home) -> None:
    with home.fake_daemon("--default", "one") as daemon:
        daemon.kill()
        daemon.wait()
    assert (home.folder / "run" / "dlmd.sock").exists()
    assert home.run("status").code == 3
    refused(home.run("infill", "f.py:1"), "no daemon")
    (home.folder / "run" / "daemon.json").unlink()
    with home.fake_daemon("--default", "two"):
        assert b"two" in home.run("infill", "f.py:1").out


def test_a_second_daemon_is_refused_and_the_first_lives_on(home: Home) -> None:
    tiny_model_folder(home.folder / "model")
    with home.fake_daemon() as daemon:
        refused(
            home.run("serve", "--model", "model"),
            "a daemon already runs",
            str(daemon.pid),
            "`dlmd stop`",
        )
        refused(home.run("serve", "--detach"), "a daemon already runs", str(daemon.pid))
        assert home.run("status").code == 0


def test_a_daemon_killed_in_mid_stream(home: Home) -> None:
    with home.fake_daemon("--default", "x " * 400, "--delay-ms", "20") as daemon:
        terminal = Terminal(home, "infill", "f.py:1", "--write")
        terminal.read_until("step 3 of")
        daemon.kill()
        done = terminal.finish()
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert done.err.startswith("dlmd: the daemon went away")
    assert "\x1b[?25h" in terminal.raw
    assert (home.folder / "f.py").read_bytes() == b"a = 1\n"


@pytest.mark.parametrize(
    "command", [["serve"], ["infill", "f.py:1"], ["serve", "--detach"]]
)
def test_a_runtime_folder_that_cannot_be_made(home: Home, command: list[str]) -> None:
    done = home.run(
        *command, DLMD_RUNTIME_DIR=NO_PLACE, DLMD_NO_START="0", DLMD_MODEL=model(home)
    )
    refused(done, NO_PLACE, "DLMD_RUNTIME_DIR")


def test_a_runtime_folder_open_to_others(home: Home) -> None:
    (home.folder / "run").mkdir()
    (home.folder / "run").chmod(0o755)  # whatever the umask
    refused(
        home.run("serve", "--model", model(home)),
        "open to others (mode 755, expected 700)",
    )


def test_a_full_disk_where_the_daemon_announces_itself(home: Home) -> None:
    done = home.run("serve", "--model", model(home), shell="ulimit -f 0")
    refused(done, "daemon.json", "DLMD_RUNTIME_DIR")


def test_a_full_disk_where_a_daemon_would_be_started(home: Home) -> None:
    done = home.run("infill", "f.py:1", DLMD_NO_START="0", shell="ulimit -f 0")
    assert (done.code, done.out) == (1, b"")
    said = done.err.splitlines()[-1]
    assert said.startswith("dlmd: cannot write ") and "DLMD_RUNTIME_DIR" in said


def test_a_full_disk_where_the_file_is_written(home: Home) -> None:
    with home.fake_daemon("--default", "b"):
        done = home.run("infill", "f.py:1", "--write", shell="ulimit -f 0")
    refused(done, "cannot write f.py: File too large; it is unchanged")
    assert (home.folder / "f.py").read_bytes() == b"a = 1\n"
    assert sorted(entry.name for entry in home.folder.iterdir()) == ["f.py", "run"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_full_disk_where_the_output_goes(home: Home, flags: tuple[str]) -> None:
    with home.fake_daemon("--default", "b"):
        done = home.run("infill", "f.py:1", *flags, shell="exec >/dev/full")
    refused(done, "cannot write the output (No space left on device)")


def test_a_reader_that_left_early_needs_no_word(home: Home) -> None:
    with home.fake_daemon("--default", "b"):
        done = home.run("infill", "f.py:1", shell="exec > >(:); wait $!")
    assert done == Answer(code=1, out=b"", err="")


def test_streams_that_are_closed(home: Home) -> None:
    with home.fake_daemon("--default", "b"):
        unheard = home.run("infill", "f.py:1", "--write", shell="exec >&-")
        mute = home.run("infill", "f.py:9", shell="exec 2>&-")
    assert unheard == Answer(code=0, out=b"", err="dlmd: wrote f.py\n")
    assert (home.folder / "f.py").read_bytes() == b"a = 1b\n"
    assert mute == Answer(code=1, out=b"", err="")


def model(home: Home) -> str:
    tiny_model_folder(home.folder / "model")
    return str(home.folder / "model")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("missing", "is no model folder: it has no config.json"),
        ("config", "config.json is not valid JSON"),
        ("architecture", "holds a model of type 'llama'"),
        ("truncated", "model.safetensors"),
        ("tokenizer", "tokenizer.json"),
    ],
)
def test_a_model_that_cannot_be_loaded(home: Home, broken: str, said: str) -> None:
    folder = Path(model(home))
    if broken == "missing":
        shutil.rmtree(folder)
        folder.mkdir()
    elif broken == "config":
        (folder / "config.json").write_text("{")
    elif broken == "architecture":
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
        (folder / "config.json").write_text(json.dumps(config))
    elif broken == "truncated":
        os.truncate(folder / "model.safetensors", 60_000)
    else:
        (folder / "tokenizer.json").unlink()
    done = home.run("serve", "--model", str(folder))
    assert (done.code, done.out) == (1, b"")
    assert "Traceback" not in done.err
    assert said in done.err.splitlines()[-1]
    assert done.err.splitlines()[-1].startswith("dlmd: ")


def test_a_background_daemon_that_cannot_load_says_only_why(home: Home) -> None:
    folder = Path(model(home))
    os.truncate(folder / "model.safetensors", 0)
    done = home.run("serve", "--detach", "--model", str(folder))
    assert (done.code, done.out) == (1, b"")
    assert done.err.endswith("; download it again\n")
    assert home.run("status").code == 3


def test_a_model_nobody_knows(home: Home) -> None:
    refused(
        home.run("serve", "--model", "gpt"), "unknown model 'gpt'; known are embedded"
    )
    refused(home.run("serve", "--model", "dreamon-7b"), "dlmd pull", "licence")
    refused(home.run("serve", "--model", "./gone"), "gone")


def test_a_model_that_fails_to_load_is_told_to_who_waits_for_it(home: Home) -> None:
    with home.fake_daemon(
        "--load-error", "the weights are cut short", "--stay-on-failure"
    ):
        done = home.run("infill", "f.py:1")
        assert home.run("status").code == 1
    refused(done, "the weights are cut short")


def test_something_else_listens_on_the_socket(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(home.folder / "other"))
        other.listen()
        # It accepts, and resets whoever comes.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
    done = home.run("infill", "f.py:1", "--socket", str(home.folder / "other"))
    refused(done, "no daemon at")


def test_settings_that_are_wrong(home: Home) -> None:
    (home.folder / "config").mkdir()
    (home.folder / "config" / "config.toml").write_text("modle = 'x'")
    refused(home.run("infill", "f.py:1"), "config.toml: unknown key 'modle'")
    refused(home.run("serve"), "config.toml: unknown key 'modle'")
    (home.folder / "config" / "config.toml").unlink()
    refused(
        home.run("infill", "f.py:1", DLMD_TEMPERATURE="hot"),
        "DLMD_TEMPERATURE is 'hot'",
    )


def test_a_signal_while_waiting_for_text(home: Home) -> None:
    terminal = Terminal(home, "infill", "-")
    terminal.process.send_signal(signal.SIGINT)
    done = terminal.finish()
    assert (done.code != 0, "Traceback" in done.err) == (True, False)


def test_an_evaluation_set_or_a_corpus_that_is_not_there(home: Home) -> None:
    refused(home.run("eval", "infilling", "--data", "gone.jsonl"), "gone.jsonl")
    refused(home.run("pretrain", "gone", "--out", "run"), "no corpus at gone")
