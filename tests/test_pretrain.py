"""Pretraining end to end at a toy size: it learns, resumes exactly, and writes what the daemon loads."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
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
def test_same_seed_and_corpus_give_the_same_first_100_losses(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    for name, seed, steps in (("one", 0, 100), ("two", 0, 100), ("three", 1, 3)):
        pretrain(toy(tmp_path / name, seed=seed, tokens=steps * 2048))
    first = losses(tmp_path / "one" / "run")
    assert len(first) == 100 and first == losses(tmp_path / "two" / "run")
    assert first[:3] != losses(tmp_path / "three" / "run")


@pytest.mark.slow
def test_killed_and_resumed_it_has_the_losses_of_a_run_that_was_not(
    tmp_path: Path,
) -> None:
    script = (
        "import sys, pathlib, torch; sys.path.insert(0, sys.argv[2]); "
        "torch.set_num_threads(1); "
        "import dlmd_finetune.pretrain as p; from tests.test_pretrain import toy; "
        "p.SAVE_EVERY_S = 0.0; p.pretrain(toy(pathlib.Path(sys.argv[1]), tokens=40 * 2048))"
    )
    root = Path(__file__).parents[1]
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "killed"), str(root)]
    )
    checkpoint = tmp_path / "killed" / "run" / "checkpoint.pt"
    deadline = time.monotonic() + 100
    while not checkpoint.exists() and time.monotonic() < deadline:
        assert child.poll() is None
        os.sched_yield()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = torch.load(checkpoint, weights_only=True)["counters"][0]
    assert 1 <= done < 40
    with open(tmp_path / "killed" / "run" / "log.jsonl", "a") as log:
        log.write('{"step": 99, "lo')  # what a kill in the middle of a write leaves
    torch.set_num_threads(1)
    pretrain(toy(tmp_path / "killed", tokens=40 * 2048))
    pretrain(toy(tmp_path / "whole", tokens=40 * 2048))
    assert losses(tmp_path / "killed" / "run") == losses(tmp_path / "whole" / "run")


@pytest.mark.slow
def test_learns_from_a_list_of_packages_and_tells_what_was_left_out(
    tmp_path: Path,
) -> None:
    config = toy(tmp_path, tokens=2048)
    wheels = tmp_path / "run" / "wheels"
    wheels.mkdir(parents=True)
    for name in ("one", "two"):
        with zipfile.ZipFile(wheels / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/mod.py", SOURCE.replace("total", f"of_{name}"))
            wheel.writestr(
                f"{name}-1.0.dist-info/METADATA",
                f"Name: {name}\nVersion: 1.0\nLicense-Expression: MIT\n",
            )
    listed = tmp_path / "packages.txt"
    listed.write_text("one==1.0  # MIT\ntwo==1.0  # MIT\n")
    sets = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    sets[0].write_text(
        json.dumps({"prompt": SOURCE[:300], "canonical_solution": ""}) + "\n"
    )
    sets[1].write_text(json.dumps({"text": "", "code": SOURCE[:200]}) + "\n")
    with pytest.raises(ValueError, match="at least 2 are needed"):
        pretrain(replace(config, corpus=listed, exclude=[*sets, leak(tmp_path)]))
    pretrain(replace(config, corpus=listed, exclude=sets))
    tally = json.loads((tmp_path / "run" / "corpus" / "tally.json").read_text())
    assert {name: about["licence"] for name, about in tally["packages"].items()} == {
        "one": "MIT", "two": "MIT",
    }  # fmt: skip
    assert [tally["overlap"][each.name]["files_left_out"] for each in sets] == [0, 0]


def leak(root: Path) -> Path:
    """A set that holds a long run of words of package `one`."""
    file = root / "leak.jsonl"
    text = SOURCE[:400].replace("total", "of_one")
    file.write_text(json.dumps({"text": "", "code": text}) + "\n")
    return file


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
