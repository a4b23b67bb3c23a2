"""Pretraining end to end at a toy size: it learns, resumes exactly, and writes what the daemon loads."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from dlmd.model import load
from dlmd_finetune.pretrain import PretrainConfig, pretrain, rate_at

SOURCE = "\n".join(
    f"def add_{i}(left, right):\n    total = left + right + {i}\n    return total\n\n"
    for i in range(400)
)


def toy(root: Path, **changes: object) -> PretrainConfig:
    (root / "src").mkdir(parents=True, exist_ok=True)
    (root / "src" / "a.py").write_text(SOURCE)
    (root / "src" / "b.py").write_text(SOURCE.replace("total", "result"))
    fields: dict[str, object] = {
        "corpus": root / "src", "out": root / "run", "tokens": 24_576,
        "batch_tokens": 2048, "hidden": 64, "layers": 1, "vocabulary": 400,
    }  # fmt: skip
    return PretrainConfig(**{**fields, **changes})  # type: ignore[arg-type]


def losses(run: Path) -> list[float]:
    return [
        json.loads(line)["loss"]
        for line in (run / "log.jsonl").read_text().splitlines()
    ]


@pytest.mark.slow
def test_learns_and_exports_a_model_that_loads(tmp_path: Path) -> None:
    folder = pretrain(toy(tmp_path, tokens=100_000))
    trace = losses(tmp_path / "run")
    assert trace[-1] < trace[0] - 0.3
    model = load(folder)
    assert model.config.mask_token_id == 3
    assert (folder / "tokenizer.json").exists()


@pytest.mark.slow
def test_same_seed_same_losses_and_another_seed_others(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        pretrain(toy(tmp_path / name, seed=seed, tokens=8192))
    assert losses(tmp_path / "one" / "run") == losses(tmp_path / "two" / "run")
    assert losses(tmp_path / "one" / "run") != losses(tmp_path / "three" / "run")


@pytest.mark.slow
def test_resumes_after_a_kill_where_the_last_checkpoint_was(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2]); "
        "import dlmd_finetune.pretrain as p; from tests.test_pretrain import toy; "
        "p.SAVE_EVERY_S = 0.0; p.pretrain(toy(pathlib.Path(sys.argv[1]), tokens=10_000_000))"
    )
    root = Path(__file__).parents[1]
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(root)])
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    deadline = time.monotonic() + 100
    while not checkpoint.exists() and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = torch.load(checkpoint, weights_only=True)["counters"][0]
    assert done >= 1
    pretrain(toy(tmp_path, tokens=(done + 3) * 2048))
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    ]
    assert steps[-3:] == [done + 1, done + 2, done + 3]


@pytest.mark.slow
def test_starts_from_a_finished_model_in_its_shape_and_vocabulary(
    tmp_path: Path,
) -> None:
    first = pretrain(toy(tmp_path / "first", tokens=50_000))
    again = toy(tmp_path / "second", init=first, hidden=128, vocabulary=500, tokens=2)
    second = pretrain(again)
    assert load(second).config == load(first).config
    assert (second / "tokenizer.json").read_bytes() == (
        first / "tokenizer.json"
    ).read_bytes()
    assert (
        losses(tmp_path / "second" / "run")[0] < losses(tmp_path / "first" / "run")[0]
    )


def test_rate_rises_holds_and_falls_to_zero() -> None:
    assert rate_at(0, 0.0) == pytest.approx(0.01)
    assert rate_at(500, 0.5) == 1.0
    assert rate_at(5000, 1.0) == 0.0
    assert 0 < rate_at(5000, 0.9) < 1
