"""The number of threads follows what layers take, on a machine whose time is made up."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from dlmd.model import cpu, load, read_config, threads
from dlmd.model.threads import (
    FIXED_ROWS,
    Pace,
    Watch,
    calibrate,
    counts,
    has_room,
    stand_before_layers,
)

from tests.fakes.tiny import tiny_model_folder

LAYERS = 6


@dataclass
class Machine:
    """Two cores: idle, a second thread helps; busy, threads wait for each other."""

    busy: bool = False
    threads: int = 2
    now: float = 0.0
    asked: list[int] = field(default_factory=list)

    def set_threads(self, count: int) -> None:
        self.threads = count
        self.asked.append(count)

    def clock(self) -> float:
        return self.now

    def has_room(self, count: int) -> bool:
        return not self.busy

    def layer(self, rows: int) -> None:
        idle, loaded = {1: (1.6, 2.4), 2: (1.0, 9.0)}[self.threads]
        self.now += (rows + FIXED_ROWS) * (loaded if self.busy else idle) * 1e-6


@pytest.fixture
def machine() -> Machine:
    return Machine()


@dataclass
class Rig:
    machine: Machine
    watch: Watch

    def forward(self, rows: int = 512) -> float:
        began = self.machine.now
        for number in range(LAYERS):
            self.watch.before(number, rows, number == LAYERS - 1)
            self.machine.layer(rows)
        return self.machine.now - began


@pytest.fixture
def rig(machine: Machine) -> Rig:
    wide, narrow = (Pace([1, 2], 2, machine.has_room) for _ in range(2))
    watch = Watch(wide, narrow, set_threads=machine.set_threads, clock=machine.clock)
    return Rig(machine, watch)


def test_halves_of_all_cores_are_tried() -> None:
    assert counts(1) == [1]
    assert counts(2) == [1, 2]
    assert counts(12) == [1, 3, 6, 12]


@pytest.mark.parametrize(("busy", "best"), [(False, 2), (True, 1)])
def test_the_start_measures_which_number_is_fastest(
    machine: Machine, busy: bool, best: int
) -> None:
    machine.busy = busy

    def forward() -> None:
        machine.layer(256)

    chosen = calibrate(
        forward, [1, 2], set_threads=machine.set_threads, clock=machine.clock
    )
    assert (chosen, machine.threads) == (best, best)


def test_a_long_forward_is_measured_once(machine: Machine) -> None:
    runs: list[int] = []

    def forward() -> None:
        runs.append(machine.threads)
        machine.now += 1.0 / machine.threads

    calibrate(forward, [1, 2], set_threads=machine.set_threads, clock=machine.clock)
    assert runs == [1, 2]


def test_idle_cores_keep_their_threads(rig: Rig) -> None:
    for _ in range(200):
        rig.forward()
    assert rig.watch.wide.count == 2


def test_a_stall_is_answered_within_the_forward(rig: Rig) -> None:
    for _ in range(5):
        rig.forward()
    rig.machine.busy = True
    first, second = rig.forward(), rig.forward()
    one_slow_layer = 9 * (512 + FIXED_ROWS) * 1e-6
    assert first < 2 * one_slow_layer + LAYERS * one_slow_layer / 3
    assert rig.watch.wide.count == rig.machine.threads == 1
    assert second == pytest.approx(LAYERS * 2.4 * (512 + FIXED_ROWS) * 1e-6)


def test_while_the_cores_are_taken_nothing_is_tried(rig: Rig) -> None:
    for _ in range(5):
        rig.forward()
    rig.machine.busy = True
    rig.forward()
    rig.machine.asked.clear()
    for _ in range(100):
        rig.forward()
    assert rig.machine.asked == []


def test_free_cores_are_found_again_by_single_layers(rig: Rig) -> None:
    for _ in range(5):
        rig.forward()
    rig.machine.busy = True
    for _ in range(30):
        rig.forward()
    rig.machine.busy = False
    for _ in range(12):
        rig.forward()
    assert rig.watch.wide.count == 2


def test_where_nobody_says_what_is_free_vain_probes_become_rare(
    machine: Machine,
) -> None:
    machine.busy = True
    paces = (Pace([1, 2], 1, lambda count: True) for _ in range(2))
    watch = Watch(*paces, set_threads=machine.set_threads, clock=machine.clock)
    rig = Rig(machine, watch)
    for _ in range(400):
        rig.forward()
    assert watch.wide.count == 1
    assert 2 <= machine.asked.count(2) <= 12


def test_steps_over_a_hole_have_a_number_of_their_own(rig: Rig) -> None:
    for _ in range(5):
        rig.forward(512)
        rig.forward(64)
    rig.machine.busy = True
    rig.forward(64)
    assert (rig.watch.wide.count, rig.watch.narrow.count) == (2, 1)


def test_what_linux_says_of_running_threads_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "loadavg"
    monkeypatch.setattr(threads, "LOAD", told)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert has_room(2)
    for running, room in ((1, True), (2, False), (3, False)):
        told.write_text(f"0.52 0.30 0.20 {running}/123 4567\n")
        assert has_room(2) == room


@pytest.fixture
def all_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("all_threads")
def test_a_real_model_is_measured_and_watched(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path / "tiny")
    choice = cpu.choose(read_config(folder))
    assert choice.dtype in (torch.float32, torch.bfloat16)
    assert choice.wide in choice.tried and choice.narrow in choice.tried
    kept = cpu.choose(read_config(folder), torch.float32)
    assert kept.dtype == torch.float32

    model = load(folder)
    tokens_BT = torch.ones(1, 200, dtype=torch.long)
    plain = model(tokens_BT)
    seen: list[tuple[int, int, bool]] = []

    def before(number: int, rows: int, last: bool) -> None:
        seen.append((number, rows, last))

    stand_before_layers(model, before)
    assert torch.equal(model(tokens_BT), plain)
    assert seen == [(0, 200, False), (1, 200, True)]
