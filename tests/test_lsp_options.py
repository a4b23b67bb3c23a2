"""dlmd_lsp.options: what an editor sets, over what the user set."""

from pathlib import Path

import pytest
from dlmd_lsp.context import Budget
from dlmd_lsp.options import Options, read

NOTHING = {"DLMD_CONFIG_DIR": "/nonexistent"}


def test_nothing_set() -> None:
    assert read(None, NOTHING) == (Options(mode="quality", temperature=0.0), [])
    assert read({}, NOTHING) == read(None, NOTHING)


def test_everything_set() -> None:
    raw = {
        "liveStates": True,
        "startDaemon": False,
        "mode": "fast",
        "lineTokens": 1,
        "blockTokens": 2,
        "functionTokens": 1024,
        "daemonCommand": ["a", "b"],
        "unknown": "is left alone",
    }
    options, complaints = read(raw, NOTHING)
    assert complaints == []
    assert options == Options(
        live_states=True,
        start_daemon=False,
        mode="fast",
        budget=Budget(line=1, block=2, function=1024),
        daemon_command=("a", "b"),
        temperature=0.0,
    )


def test_the_users_settings_stand_where_the_editor_is_silent(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'mode = "quality"\nno_start = true\ntokens_per_step = 2.0\ntop_p = 0.9\n'
    )
    env = {"DLMD_CONFIG_DIR": str(tmp_path)}
    options, complaints = read({"startDaemon": True}, env)
    assert complaints == []
    assert (options.mode, options.start_daemon) == ("quality", False)
    assert (options.tokens_per_step, options.top_p) == (2.0, 0.9)
    assert read({"mode": "fast"}, env)[0].mode == "fast"


def test_broken_settings_do_not_stop_the_server(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mode = [")
    options, [complaint] = read(None, {"DLMD_CONFIG_DIR": str(tmp_path)})
    assert options == Options(mode="quality", temperature=0.0)
    assert "not valid TOML" in complaint and complaint.endswith("in force")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ([1], "initializationOptions is [1], expected an object"),
        ({"liveStates": 1}, "liveStates is 1, expected true or false"),
        ({"mode": "best"}, "mode is 'best', expected one of exact, quality, fast"),
        ({"lineTokens": True}, "lineTokens is True, expected a whole number"),
        ({"functionTokens": 1025}, "from 1 to 1024; 192 is used"),
        ({"daemonCommand": "dlmd"}, "daemonCommand is 'dlmd', expected a list"),
        ({"daemonCommand": []}, "daemonCommand is [], expected a list"),
    ],
)
def test_a_value_without_sense_is_named_and_left_out(
    raw: object, sentence: str
) -> None:
    options, [complaint] = read(raw, NOTHING)
    assert sentence in complaint
    assert options == Options(mode="quality", temperature=0.0)
