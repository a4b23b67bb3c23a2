"""Precedence flag > environment > file > default, and one sentence for each mistake."""

import re
from pathlib import Path

import pytest
from dlmd.settings import FIELDS, Settings, config_file, load, made
from dlmd.wire.duration import seconds


def config(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    return {"DLMD_CONFIG_DIR": str(tmp_path)}


def test_defaults_without_a_file(tmp_path: Path) -> None:
    assert load(env={"DLMD_CONFIG_DIR": str(tmp_path)}) == Settings()


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    env = config(tmp_path, 'model = "file"\ndevice = "cpu"\ntemperature = 1\n')
    env |= {"DLMD_MODEL": "env", "DLMD_DEVICE": "cuda"}
    settings = load({"model": "flag", "device": None}, env)
    assert (settings.model, settings.device) == ("flag", "cuda")
    assert (settings.temperature, settings.mode) == (1.0, "quality")


def test_each_setting_says_what_it_is_and_where_that_was_said(tmp_path: Path) -> None:
    env = config(tmp_path, 'model = "file"\nmode = "fast"\n') | {"DLMD_MODEL": "env"}
    found = {each.key: each for each in made(env)}
    assert [*found] == [*FIELDS]
    assert (found["model"].value, found["model"].said) == ("env", "DLMD_MODEL")
    assert found["mode"].value == "fast"
    assert found["mode"].said == str(tmp_path / "config.toml")
    assert (found["device"].value, found["device"].said) == ("auto", "default")


@pytest.mark.parametrize(
    ("word", "value"), [("1", True), ("TRUE", True), ("0", False), ("", False)]
)
def test_environment_switches(tmp_path: Path, word: str, value: bool) -> None:
    assert (
        load(env={"DLMD_CONFIG_DIR": str(tmp_path), "DLMD_NO_START": word}).no_start
        is value
    )


def test_optional_number_from_the_environment(tmp_path: Path) -> None:
    env = {"DLMD_CONFIG_DIR": str(tmp_path), "DLMD_TOKENS_PER_STEP": "2"}
    assert load(env=env).tokens_per_step == 2.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('modle = "x"', "unknown key 'modle'; known keys are model, device"),
        ("temperature = 'hot'", "temperature is 'hot', expected a number"),
        ("temperature = true", "temperature is True, expected a number"),
        ("no_start = 1", "no_start is 1, expected true or false"),
        ("model = 3", "model is 3, expected a string"),
        ("device = 'tpu'", "device is 'tpu', expected auto, cpu, mps, cuda or a card"),
        ("[server]\nport = 1", "unknown key 'server'"),
        ("keep_alive = 'soon'", "keep_alive is 'soon', expected a time such as"),
        ("http = '0.0.0.0:80'", "http is '0.0.0.0:80', expected 127.0.0.1 and a port"),
        ("temperature = 99", "temperature is 99, expected a number from 0 to 10"),
        ("tokens_per_step = -4", "tokens_per_step is -4, expected a number from 0.1"),
        ("first_state_ms = -4", "first_state_ms is -4, expected a number from 0"),
        ("top_p = nan", "top_p is nan, expected a number from 0.0001 to 1"),
        ("model = ", "is not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load(env=config(tmp_path, text))
    assert str(tmp_path / "config.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("DLMD_TEMPERATURE", "hot", "a number"),
        ("DLMD_NO_START", "maybe", "true or false"),
        ("DLMD_MODE", "best", "exact, quality or fast"),
    ],
)
def test_a_mistake_in_the_environment(
    tmp_path: Path, variable: str, text: str, expected: str
) -> None:
    with pytest.raises(
        ValueError, match=f"{variable} is '{text}', expected {expected}"
    ):
        load(env={"DLMD_CONFIG_DIR": str(tmp_path), variable: text})


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"model = '\xff'")
    with pytest.raises(ValueError, match="is not valid TOML"):
        load(env={"DLMD_CONFIG_DIR": str(tmp_path)})


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ValueError, match=r"cannot read .*config\.toml: Is a directory"):
        load(env={"DLMD_CONFIG_DIR": str(tmp_path)})


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    xdg = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert config_file(xdg) == tmp_path / "dlmd" / "config.toml"
    assert config_file(xdg | {"DLMD_CONFIG_DIR": "/c"}) == Path("/c/config.toml")
    assert config_file({}).name == "config.toml"


def test_every_setting_carries_its_help() -> None:
    assert all(entry.metadata["help"].endswith(".") for entry in FIELDS.values())


@pytest.mark.parametrize("device", ["cuda:1", "mps", "auto"])
def test_a_device_may_be_one_card(device: str) -> None:
    assert load({"device": device}, {}).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", ""])
def test_a_wrong_device_names_what_there_is(device: str) -> None:
    with pytest.raises(ValueError, match=r"--device is .*expected auto, cpu, mps"):
        load({"device": device}, {})


@pytest.mark.parametrize(
    "text", ["0", "-1", "300", "10m", "1h30m", "-5m", "1.5s", "20ms"]
)
def test_a_time_that_the_daemon_understands_is_taken(text: str) -> None:
    assert load({"keep_alive": text}, {}).keep_alive == text
    assert seconds(text) >= 0
