"""Answers of a model, through the product's own decoder.

A model is told neither the length nor the indentation of what is missing, unless the
oracle's length is asked for. Loads torch only inside functions, because the command
line reads the configuration next door. Must not run programs or know scores.
"""

import hashlib
import inspect
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dlmd import profiles
from dlmd.store import shelf
from dlmd.wire.messages import Mode

from dlmd_finetune.evidence.answers import Answer, Answerer
from dlmd_finetune.evidence.tasks import Task, counted, is_exact, parses, program
from dlmd_finetune.evidence.traces import traces

if TYPE_CHECKING:
    from dlmd.decode import Tokenizer
    from dlmd.model import Dream

SAMPLED_BYTES = 2**20
BATCH = 32  # samples of one task that are decoded together
DTYPES = ("auto", "float32", "bfloat16")
LONG = 256  # masks of a hole that is a body or a module


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How a model answers."""

    mode: str = "exact"
    temperature: float = 0.0
    top_p: float | None = None
    length: str = "auto"  # auto, oracle, or a number of tokens
    seed: int = 0
    dtype: str = "auto"  # bfloat16 on a GPU, float32 elsewhere

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(
                f"--dtype is {self.dtype!r}; expected {', '.join(DTYPES[:-1])} or {DTYPES[-1]}"
            )
        known = self.length in ("auto", "oracle")
        if not known and not (self.length.isdecimal() and int(self.length)):
            raise ValueError(
                f"--length is {self.length!r}; expected auto, oracle or a number of tokens"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model with all that it takes to ask it."""

    network: "Dream"
    tokenizer: "Tokenizer"
    profile: profiles.Profile


def from_model(
    model: str, device: str, choices: Choices, adapter: str | None = None
) -> Answerer:
    folder = model_folder(model)
    profile = profiles.for_folder(folder)

    import torch
    from dlmd.decode.tokenizer import Tokenizer
    from dlmd.model import cpu, cuda, load, lora

    device = cuda.choose(device)
    cpu.keep_freed_memory()
    kind = choices.dtype
    if kind == "auto":
        kind = "bfloat16" if device.startswith("cuda") else "float32"
    network = load(folder, device=device, dtype=getattr(torch, kind))
    identity = {
        "answers": "model",
        "model": fingerprint(folder),
        "profile": asdict(profile),
        "choices": asdict(choices),
        "device": device,
        "dtype": kind,
        "decoder": decoder_source(),
    }
    name = profile.name
    if adapter is not None:
        place = Path(adapter).expanduser()
        if not place.is_dir():
            raise ValueError(f"there is no adapter folder at {adapter}; give its path")
        lora.swap(network, folder, frozenset(), dict(lora.read(place, network)))
        identity["adapter"] = fingerprint(place)
        name = f"{name}+{place.name}"
    tokenizer = Tokenizer.load(folder)
    subject = Subject(network=network, tokenizer=tokenizer, profile=profile)

    def answer(task: Task, samples: Sequence[int]) -> list[Answer]:
        return list(drawn(subject, task, choices, samples))

    return Answerer(name=name, identity=identity, answer=answer)


def drawn(
    subject: Subject, task: Task, choices: Choices, samples: Sequence[int]
) -> list[Answer]:
    """Sample s is drawn from the seed's s-th stream, whoever it is decoded with."""
    found: list[Answer] = []
    while len(found) < len(samples):
        batch = list(samples[len(found) :][:BATCH])
        last = next((n for n, s in enumerate(batch) if s != batch[0] + n), len(batch))
        found += filled(subject, task, choices, batch[:last])
    return found


def filled(
    subject: Subject, task: Task, choices: Choices, samples: Sequence[int]
) -> list[Answer]:
    """Candidates for neighbouring samples, in one batch."""
    from dlmd.decode.canvas import Hole
    from dlmd.decode.infill import infill
    from dlmd.decode.modes import InfillSettings

    encode = subject.tokenizer.encode
    settings = InfillSettings(
        mode=choices.mode,
        temperature=choices.temperature,
        top_p=choices.top_p,
        seed=choices.seed + samples[0],
        n=len(samples),
    )
    hole = Hole(max_tokens=LONG) if task.kind in ("body", "module") else Hole()
    if choices.length != "auto":
        oracle = len(encode(task.reference))
        hole = Hole(
            length=oracle if choices.length == "oracle" else int(choices.length)
        )
    parts: list[str | Hole] = [task.prompt, hole, task.after]
    profile = subject.profile
    frames = list(infill(subject.network, subject.tokenizer, profile, parts, settings))
    ends = {frame.candidate: frame for frame in frames if frame.texts is not None}
    surplus = {
        token for token in (*profile.pad_ids, profile.eos_id) if token is not None
    }
    orders = traces(frames, profile.mask_id, surplus)
    found = []
    for candidate in range(len(samples)):
        frame = ends[candidate]
        assert frame.texts is not None
        answer = Answer(
            text=frame.texts[0],
            tokens=len(encode(counted(task, frame.texts[0]))),
            finish=frame.finish,
            forwards=frame.forwards,
            order=orders[candidate].order,
            certainty=tuple(round(each, 4) for each in orders[candidate].certainty),
        )
        found.append(answer)
    return found


def exact_match_probe(
    subject: Subject, tasks: Sequence[Task], choices: Choices | None = None
) -> dict[str, float]:
    """What can be said of a model without running anything: for use while it trains."""
    choices = choices or Choices()
    answers = [filled(subject, task, choices, [0])[0] for task in tasks]
    texts = [counted(t, a.text) for t, a in zip(tasks, answers, strict=True)]
    pairs = list(zip(tasks, texts, strict=True))
    n = len(pairs)
    assert n, "a probe of no tasks"
    return {
        "tasks": n,
        "exact": sum(is_exact(task, text) for task, text in pairs) / n,
        "parses": sum(parses(program(task, text)) for task, text in pairs) / n,
        "empty": sum(not text.strip() for text in texts) / n,
        "mean_characters": sum(len(text) for text in texts) / n,
        "mean_forwards": sum(answer.forwards for answer in answers) / n,
    }


def check_drawing(mode: str, temperature: float, top_p: float | None = None) -> None:
    """Before a model is loaded for it."""
    modes = get_args(Mode)
    if mode not in modes:
        raise ValueError(f"--mode is {mode!r}; expected {', '.join(modes)}")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"--temperature is {temperature:g}; expected 0 or above")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"--top-p is {top_p:g}; expected above 0, at most 1")


def model_folder(model: str) -> Path:
    """Of a name that `dlmd ls` lists, or a path."""
    if model == "embedded":
        return profiles.EMBEDDED_FOLDER
    try:
        known = shelf.profile(model)
    except ValueError:
        return _own_folder(model)
    pulled = shelf.find(known.name)
    if pulled is None:
        raise ValueError(
            f"{known.name} is not here; type `dlmd pull {known.name}`, or give the path "
            "of its folder with --model"
        )
    return pulled


def _own_folder(model: str) -> Path:
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder.resolve()
    raise ValueError(
        f"there is no model folder at {model}; give `embedded`, the name of a model that "
        "was pulled, or a folder with config.json, tokenizer and *.safetensors"
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
