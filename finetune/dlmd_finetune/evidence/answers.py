"""Where answers come from: a model through the product's own decoder, or a ruler check.

A model answers greedily and with its own length: it is told neither the length nor
the indentation of the line. Loads torch only inside functions, because the command
line reads the configuration next door. Must not run programs or know scores.
"""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlmd import profiles

from dlmd_finetune.evidence.humaneval import (
    Task,
    answer_line,
    constant_line,
    is_exact,
    parses,
    program,
    without_function,
)

SAMPLED_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    text: str
    tokens: int | None = None
    finish: str = ""
    forwards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """`identity` names all that an answer depends on, besides the task."""

    name: str
    identity: dict[str, Any]
    answer: Callable[[Task], Answer]
    program: Callable[[Task, str], str] = program


def canonical() -> Answerer:
    """The right lines: less than 100 % is a fault of the ruler."""
    return Answerer(
        name="canonical",
        identity={"answers": "canonical"},
        answer=lambda task: Answer(text=task.reference, finish="stop"),
    )


def stub() -> Answerer:
    """The function taken away: more than 0 % is a fault of the ruler."""
    return Answerer(
        name="stub",
        identity={"answers": "stub"},
        answer=lambda task: Answer(text="", finish="stop"),
        program=lambda task, _: without_function(task),
    )


def constant(name: str) -> Answerer:
    return Answerer(
        name=name,
        identity={"answers": "constant", "line": name},
        answer=lambda task: Answer(text=constant_line(task, name), finish="stop"),
    )


def from_model(model: str, device: str) -> Answerer:
    folder = model_folder(model)
    profile = profiles.for_folder(folder)

    import torch
    from dlmd.decode.tokenizer import Tokenizer
    from dlmd.model import cuda, load

    device = cuda.choose(device)
    kind = "bfloat16" if device.startswith("cuda") else "float32"
    network = load(folder, device=device, dtype=getattr(torch, kind))
    tokenizer = Tokenizer.load(folder)
    settings = greedy()
    identity = {
        "answers": "model",
        "model": fingerprint(folder),
        "profile": asdict(profile),
        "settings": asdict(settings),
        "device": device,
        "dtype": kind,
        "decoder": decoder_source(),
    }

    def answer(task: Task) -> Answer:
        return infill_line(network, tokenizer, profile, task, settings)

    return Answerer(name=profile.name, identity=identity, answer=answer)


def greedy() -> Any:
    from dlmd.decode.modes import InfillSettings

    return InfillSettings(mode="exact", temperature=0.0, seed=0)


def infill_line(
    model: Any, tokenizer: Any, profile: profiles.Profile, task: Task, settings: Any
) -> Answer:
    from dlmd.decode.canvas import Hole
    from dlmd.decode.infill import infill

    parts: list[str | Hole] = [task.prompt, Hole(), f"\n{task.suffix}"]
    *_, last = infill(model, tokenizer, profile, parts, settings)
    assert last.texts is not None
    return Answer(
        text=last.texts[0],
        tokens=len(tokenizer.encode(answer_line(last.texts[0]))),
        finish=last.finish,
        forwards=last.forwards,
    )


def exact_match_probe(
    model: Any,
    tokenizer: Any,
    profile: profiles.Profile,
    tasks: Sequence[Task],
    settings: Any | None = None,
) -> dict[str, float]:
    """What can be said of a model without running anything: for use while it trains."""
    settings = settings or greedy()
    answers = [infill_line(model, tokenizer, profile, t, settings) for t in tasks]
    lines = [answer_line(answer.text) for answer in answers]
    pairs = list(zip(tasks, lines, strict=True))
    n = len(pairs)
    assert n, "a probe of no tasks"
    return {
        "tasks": n,
        "exact": sum(is_exact(task, line) for task, line in pairs) / n,
        "parses": sum(parses(program(task, line)) for task, line in pairs) / n,
        "empty": sum(not line.strip() for line in lines) / n,
        "mean_characters": sum(len(line) for line in lines) / n,
        "mean_forwards": sum(answer.forwards for answer in answers) / n,
    }


def model_folder(model: str) -> Path:
    if model == "embedded":
        return profiles.EMBEDDED_FOLDER
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model in profiles.PROFILES:
        raise ValueError(
            f"the weights of {model} are not part of dlmd; "
            "give the path of its folder with --model"
        )
    raise ValueError(
        f"there is no model folder at {model}; give `embedded` or a folder with "
        "config.json, tokenizer and *.safetensors"
    )


def fingerprint(folder: Path) -> dict[str, str]:
    """Tells checkpoints apart without reading 15 GB: size, first and last MiB."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".json", ".txt") and path.is_file():
            size = path.stat().st_size
            with path.open("rb") as file:
                digest = hashlib.sha256(file.read(SAMPLED_BYTES))
                file.seek(max(0, size - SAMPLED_BYTES))
                digest.update(file.read())
            found[path.name] = f"{size}:{digest.hexdigest()[:16]}"
    return found


def decoder_source() -> str:
    """Answers of a changed decoder are other answers."""
    import dlmd.decode
    import dlmd.model

    digest = hashlib.sha256()
    for package in (dlmd.decode, dlmd.model):
        for path in sorted(Path(inspect.getfile(package)).parent.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
