"""The check of a model: green for the one that ships, red for each way to get it wrong.

Each fault is put in alone: a copy of the model's folder with one number of its config
changed, with weights changed, or a network that keeps another convention.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dlmd.profiles import EMBEDDED_FOLDER, PROFILES, Profile
from dlmd.serve import checkup, lending, room
from dlmd.serve.backend import ModelBackend
from dlmd.serve.findings import Finding
from dlmd.serve.probe import Probe
from dlmd.serve.sample import HOLES, TEXT
from dlmd.settings import Settings
from safetensors.torch import load_file, save_file

from tests.processes import ROOT, Home

pytestmark = pytest.mark.slow
EMBEDDED = PROFILES["embedded"]
NAME = "diffucoder-7b-cpgrpo"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLMD_RUNTIME_DIR", str(tmp_path / "run"))


def quiet(text: str) -> None:
    pass


def copied(to: Path, **config: object) -> Path:
    shutil.copytree(EMBEDDED_FOLDER, to)
    told = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(told | config))
    return to


def reweighted(to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    weights = load_file(copied(to) / "model.safetensors")
    change(weights)
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to


def report(model: Path, table: Profile = EMBEDDED) -> dict[str, Finding]:
    """All checks, held against what the table expects of the embedded model."""
    settings = Settings(model=str(model), device="cpu", first_state_ms=0.0)
    backend = ModelBackend(settings)
    return {each.name: each for each in checkup.loaded(backend, table, quiet)}


def red(found: dict[str, Finding]) -> set[str]:
    return {name for name, each in found.items() if each.grade == "fault"}


def test_the_model_that_ships_is_sound() -> None:
    said: list[str] = []
    settings = Settings(model="embedded", device="cpu")
    found = {each.name: each for each in checkup.examine(settings, said.append)}
    assert red(found) == set()
    assert [*found] == [
        *("files", "tensors", "memory", "loss", "shift", "rotary base"),
        *("biases", "mask id", "trivial holes"),
    ]
    assert "74 with 5,773,568 parameters" in found["tensors"].seen
    assert "nobody has measured" not in found["loss"].seen
    assert said[0].startswith("looking at") and said[-1].endswith("20 holes")


@pytest.mark.parametrize("theta", [1e3, 1e6])
def test_a_wrong_rotary_base(tmp_path: Path, theta: float) -> None:
    found = report(copied(tmp_path / "m", rope_theta=theta))
    assert "rotary base" in red(found)
    assert "10000 suits the weights better" in found["rotary base"].seen or theta == 1e6


@pytest.mark.parametrize("mask", [0, 77])
def test_a_wrong_mask_id(tmp_path: Path, mask: int) -> None:
    found = report(copied(tmp_path / "m", mask_token_id=mask))
    assert "mask id" in red(found)
    assert f"3 suits the weights better than {mask}" in found["mask id"].seen


@pytest.mark.parametrize("name", ["q_proj", "k_proj", "v_proj"])
def test_biases_of_zeros(tmp_path: Path, name: str) -> None:
    """In all layers the loss shows it too; in a single one only looking does."""

    def everywhere(weights: dict[str, Any]) -> None:
        for key, tensor in weights.items():
            if key.endswith(f"{name}.bias"):
                tensor.zero_()

    def once(weights: dict[str, Any]) -> None:
        weights[f"model.layers.2.self_attn.{name}.bias"].zero_()

    found = report(reweighted(tmp_path / "all", everywhere))
    assert {"loss", "biases"} <= red(found)
    if name == "k_proj":
        found = report(reweighted(tmp_path / "one", once))
        assert "1 are all zeros, first layers.2.k_proj.bias" in found["biases"].seen
        assert red(found) == {"biases"}


def test_biases_that_belong_elsewhere(tmp_path: Path) -> None:
    def negated(weights: dict[str, Any]) -> None:
        for key, tensor in weights.items():
            if key.endswith("v_proj.bias"):
                tensor.neg_()

    found = report(reweighted(tmp_path / "m", negated))
    assert {"loss", "biases"} <= red(found)
    assert "none at all suits the weights better" in found["biases"].seen


class Unshifted:
    """The embedded network as a model without the shift would be: row i predicts i."""

    def __init__(self, model: Any) -> None:
        self.model, self.config, self.whole = model.model, model.config, model
        self.parameters = model.parameters

    def __call__(self, tokens_BT: Any, *, rows_N: Any) -> Any:
        self.whole.config = self.config
        return self.whole(tokens_BT, rows_N=rows_N - 1)


def probe(wrap: Callable[[Any], Any] = lambda model: model, **profile: Any) -> Probe:
    backend = ModelBackend(Settings(model="embedded", device="cpu", first_state_ms=0.0))
    backend.load(lambda done, total: None)
    model, tokenizer = backend.opened()
    return Probe.of(wrap(model), tokenizer, replace(EMBEDDED, **profile), TEXT)


@pytest.mark.parametrize(
    ("told", "wrap", "profile"),
    [
        ("row i predicts itself suits the weights better", Unshifted, {}),
        ("the weights say otherwise", lambda model: model, {"shifted": False}),
    ],
)
def test_a_wrong_shift(
    told: str, wrap: Callable[[Any], Any], profile: dict[str, Any]
) -> None:
    """The network keeps another convention than the table says, or the other way round."""
    found = {
        each.name: each for each in checkup.behaviour(probe(wrap, **profile), quiet)
    }
    assert "shift" in red(found)
    assert told in found["shift"].seen


def test_the_sample_is_the_program_of_the_demo() -> None:
    """It ships twice: the wheel has no examples, and both have one text to explain."""
    demo = ROOT / "examples" / "demo" / "inventory.py"
    assert demo.read_text(encoding="utf-8") == TEXT


def test_a_probe_puts_back_what_it_changed() -> None:
    looked = probe()
    before = looked.loss()
    [*checkup.behaviour(looked, quiet)]
    assert looked.loss() == before
    assert looked.count == 254 and len(HOLES) == 20


def test_a_loss_that_is_no_number_is_red() -> None:
    assert checkup.ceiling(float("nan"), probe()).grade == "fault"


def test_weights_that_say_nothing(tmp_path: Path) -> None:
    def shuffled(weights: dict[str, Any]) -> None:
        for key, tensor in weights.items():
            if key.endswith("down_proj.weight"):
                order = torch.randperm(tensor.numel(), generator=torch.Generator())
                tensor.copy_(tensor.flatten()[order].view_as(tensor))

    assert {"loss", "trivial holes"} <= red(
        report(reweighted(tmp_path / "m", shuffled))
    )


# ---- by its files


def first_red(settings: Settings) -> Finding:
    *_, last = checkup.examine(settings, quiet)
    assert last.grade == "fault"
    return last


def test_a_tensor_of_another_shape_ends_it_before_weights_are_read(
    tmp_path: Path,
) -> None:
    folder = copied(tmp_path / "m", intermediate_size=512)
    found = first_red(Settings(model=str(folder), device="cpu"))
    assert found.name == "tensors"
    assert "down_proj.weight is [256, 768], expected [256, 512]" in found.seen


def test_a_pulled_model_is_held_against_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlmd.store import pull

    monkeypatch.setenv("DLMD_MODELS", str(tmp_path / "models"))
    list(pull.carry_out(pull.plan(NAME, source=EMBEDDED_FOLDER)))
    found = first_red(Settings(model=NAME, device="cpu"))
    assert "names 3 as the mask id, the table of models 151666" in found.seen
    assert "28 layers of 3584/18944" in found.seen
    assert f"`dlmd pull {NAME} --from DIR`" in found.fix


def test_the_model_that_auto_serves_is_the_one_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 7B that was pulled is none of its business where there is no GPU for it."""
    from dlmd.store import pull

    monkeypatch.setenv("DLMD_MODELS", str(tmp_path / "models"))
    list(pull.carry_out(pull.plan(NAME, source=EMBEDDED_FOLDER)))
    no_room(monkeypatch, 1000)
    found = [*checkup.examine(Settings(model="auto", device="cpu"), quiet)]
    assert "model/embedded" in found[0].seen


def test_no_such_model_is_a_finding() -> None:
    found = first_red(Settings(model="nothing-of-the-kind"))
    assert "unknown model" in found.seen


# ---- room for it


def no_room(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    left = list(free)
    monkeypatch.setattr(
        room, "_free_memory", lambda: left.pop(0) if len(left) > 1 else left[0]
    )


def test_without_room_it_says_so_and_reads_no_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_room(monkeypatch, 1000)
    *_, last = checkup.examine(Settings(model="embedded", device="cpu"), quiet)
    assert (last.name, last.grade) == ("memory", "warning")
    assert "were not tried" in last.seen


def test_with_room_for_half_of_it_it_is_tried_in_eight_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_room(monkeypatch, 10_000_000)
    found = checkup.fits(Settings(model="embedded", device="cpu"))
    assert isinstance(found, checkup.Fitting)
    assert found.settings.quantise == "int8" and found.seen.endswith("in int8")


def test_a_model_that_float32_has_no_room_for_is_held_as_it_is_in_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_room(monkeypatch, 20_000_000)
    settings = Settings(model="embedded", device="cpu", first_state_ms=0.0)
    found = checkup.fits(settings)
    assert isinstance(found, checkup.Fitting)
    assert found.settings.quantise == "none" and found.seen.startswith("0.01 GB wanted")
    backend = ModelBackend(settings)
    backend.load(lambda done, total: None)
    assert backend.dtype == "bfloat16"


def test_a_device_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(ModelBackend, "load", full)
    found = first_red(Settings(model="embedded", device="cpu"))
    assert found.seen == "OutOfMemoryError: CUDA out of memory."
    assert "check again" in found.fix


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home(tmp_path)


def test_a_running_daemon_lends_its_device_and_gets_it_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    answers = [Finding(name="memory", grade="warning", seen="no room"), "room"]
    with home.fake_daemon():
        assert home.run("status").code in (0, 4)
        with lending.borrowed(lambda: answers.pop(0), said.append) as (found, note):
            asleep = json.loads(home.run("status", "--json").out)
            assert (asleep["phase"], asleep["lent_to"]) == ("sleeping", "dlmd doctor")
            refused = home.run("infill", "-", stdin="a = ⟦⟧".encode())
            assert "lent to dlmd doctor" in refused.err
        assert (found, note) == ("room", ", lent by the daemon")
        assert home.run("infill", "-", stdin="a = ⟦⟧".encode()).code == 0
        with lending.borrowed(lambda: "room", said.append) as (found, note):
            assert note == ", beside the daemon's model"
    assert len(said) == 1 and "asking the daemon" in said[0]


# ---- by the command


def test_the_command_for_scripts_and_for_people(home: Home, tmp_path: Path) -> None:
    folder = copied(tmp_path / "m", rope_theta=1e6)
    told = home.run("doctor", "--model", str(folder), "--json")
    report = json.loads(told.out)
    assert (told.code, report["grade"]) == (1, "fault")
    faults = [each for each in report["findings"] if each["grade"] == "fault"]
    assert [each["name"] for each in faults] == ["rotary base"]
    shown = home.run("doctor", "--model", str(ROOT / "examples"))
    assert (shown.code, shown.out[:10]) == (1, b"!!  files:")
    assert "--model" in home.run("doctor", "embedded").err
