"""`dlmd pretrain CORPUS`: from Python source to a model folder that the daemon serves.

Two stages, as DiffuCoder was made (arXiv 2506.20639, section 3): left to right first, with
a loss on every token, then both ways on canvases with holes, under the masked-diffusion
objective (loss weighted 1/t). Readable top to bottom; resumes from its last checkpoint.
Training shapes: B rows, T slots, N labelled slots, V vocabulary.
"""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

import torch
from dlmd.model import load
from dlmd.model.dream import Dream
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from dlmd_finetune import corpus as corpora
from dlmd_finetune.canvases import NO_LABEL, Canvases, CanvasMaker, Ids, texts
from dlmd_finetune.cutting import Mix
from dlmd_finetune.network import CONTEXT, initialise, optimisers, small_network
from dlmd_finetune.packages import LISTED, fetch
from dlmd_finetune.progress import Progress
from dlmd_finetune.sources import Source, read_installed, read_library, read_sources
from dlmd_finetune.vocabulary import open_vocabulary, train_vocabulary

SHORT, LONG = 256, CONTEXT
DECAY_SHARE = 0.3
WARMUP_STEPS = 100
SAVE_EVERY_S = 120.0
HELD_OUT_SEED = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Every choice of a run; the help of each field becomes its flag's help."""

    corpus: Path = field(
        metadata={
            "help": "folder with Python source, wheels or source archives; a list of packages "
            "(.txt) whose wheels pip fetches; `packages` for dlmd's own list; or a packed corpus"
        }
    )
    out: Path = field(
        metadata={
            "help": "run folder: packed corpus, checkpoint, log, and the model at the end"
        }
    )
    tokens: int = field(
        default=40_000_000,
        metadata={"help": "tokens to train on; may be changed on resume"},
    )
    causal_share: float = field(
        default=0.5,
        metadata={"help": "share of the tokens trained left to right first"},
    )
    batch_tokens: int = field(
        default=8192, metadata={"help": "tokens in one optimiser step"}
    )
    hidden: int = field(default=256, metadata={"help": "hidden size"})
    layers: int = field(default=6, metadata={"help": "layers"})
    vocabulary: int = field(
        default=4096, metadata={"help": "entries of the vocabulary"}
    )
    learning_rate: float = field(default=3e-3, metadata={"help": "peak learning rate"})
    seed: int = field(default=0, metadata={"help": "same seed and corpus: same losses"})
    init: Path | None = field(
        default=None,
        metadata={
            "help": "model folder to start from; its shape and vocabulary win over the flags"
        },
    )
    objective: str = field(
        default="masked",
        metadata={
            "help": "masked: both ways, holes anywhere; fim: left to right to the end, the "
            "hole's text last, to compare with"
        },
    )
    exclude: list[Path] = field(
        default_factory=list,
        metadata={
            "help": "evaluation set (JSON lines), may be given several times: files that "
            "overlap with it are left out, what is left in common is counted"
        },
    )
    library: bool = field(
        default=False, metadata={"help": "learn from the standard library too"}
    )
    installed: bool = field(
        default=False,
        metadata={
            "help": "learn from what is installed beside dlmd too, where its licence is permissive"
        },
    )

    def __post_init__(self) -> None:
        if self.objective not in ("masked", "fim"):
            raise ValueError(
                f"--objective is {self.objective!r}; expected masked or fim"
            )

    @property
    def mix(self) -> Mix:
        return Mix(middle_last=self.objective == "fim")


def starting_model(config: PretrainConfig) -> Dream:
    """Random weights, or those of a finished model, in float32."""
    if config.init is not None:
        return load(config.init).train()
    model = Dream(small_network(config.hidden, config.layers, config.vocabulary))
    initialise(model, config.seed)
    return model


def rate_at(step: int, progress: float) -> float:
    """Share of the peak rate: warm-up by steps, constant, then linear to zero over the last DECAY_SHARE."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * min(
        1.0, max(0.0, (1 - progress) / DECAY_SHARE)
    )


def canvas_loss(model: Dream, batch: Canvases, causal: bool) -> tuple[Tensor, Tensor]:
    """Weighted and unweighted mean cross-entropy over the labelled slots, in nats.

    Row i-1 predicts slot i (the shift of the published model).
    """
    device = model.lm_head.weight.device
    tokens_BT = torch.from_numpy(batch.tokens_BT).to(device)
    labels = torch.from_numpy(batch.labels_BT).flatten()
    slots_N = torch.nonzero(labels != NO_LABEL).squeeze(1)
    weights_N = torch.from_numpy(batch.weights_BT).flatten()[slots_N].to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        logits_NV = model(tokens_BT, rows_N=(slots_N - 1).to(device), causal=causal)
    losses_N = F.cross_entropy(
        logits_NV.float(), labels[slots_N].to(device), reduction="none"
    )
    return (losses_N * weights_N).sum() / weights_N.sum(), losses_N.mean()


def draws(
    config: PretrainConfig, maker: CanvasMaker, step: int, causal: bool
) -> list[Canvases]:
    """The micro-batches of one step: SHORT; once holes are cut, a quarter of the steps LONG."""
    length = SHORT if causal or step % 4 else LONG
    rows = max(1, 2048 // length)
    count = max(1, config.batch_tokens // (rows * length))
    return [
        maker.batch(rows, length, causal, (config.seed, step, part))
        for part in range(count)
    ]


def held_out_loss(model: Dream, maker: CanvasMaker, batches: int = 16) -> float:
    """Mean unweighted loss on masked slots of files that were never trained on, in nats."""
    model.eval()
    with torch.no_grad():
        losses = [
            canvas_loss(
                model,
                maker.batch(8, SHORT, False, (HELD_OUT_SEED, part)),
                maker.mix.middle_last,
            )[1]
            for part in range(batches)
        ]
    model.train()
    return float(torch.stack(losses).mean())


@dataclass(slots=True)
class Run:
    """A training run in progress: what a checkpoint holds."""

    config: PretrainConfig
    model: Dream
    optimisers: list[torch.optim.Optimizer]
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimisers": [each.state_dict() for each in self.optimisers],
            "counters": [self.step, self.tokens, self.seconds],
        }
        file = self.config.out / "checkpoint.pt"
        torch.save(state, file.with_suffix(".new"))
        os.replace(file.with_suffix(".new"), file)

    def resume(self) -> bool:
        file = self.config.out / "checkpoint.pt"
        if not file.exists():
            return False
        state = torch.load(file, weights_only=True)
        self.model.load_state_dict(state["model"])
        for each, saved in zip(self.optimisers, state["optimisers"], strict=True):
            each.load_state_dict(saved)
        self.step, self.tokens, self.seconds = state["counters"]
        return True


def train(run: Run, maker: CanvasMaker) -> Iterator[dict[str, float]]:
    """One optimiser step a turn; yields its figures. The next batch is drawn while this one trains."""
    config = run.config
    with ThreadPoolExecutor(1) as ahead:

        def ask(step: int, tokens: int) -> Future[list[Canvases]]:
            return ahead.submit(
                draws, config, maker, step, tokens < config.causal_share * config.tokens
            )

        coming = ask(run.step, run.tokens)
        while run.tokens < config.tokens:
            began = time.perf_counter()
            causal = run.tokens < config.causal_share * config.tokens
            batches = coming.result()
            size = sum(batch.tokens_BT.size for batch in batches)
            coming = ask(run.step + 1, run.tokens + size)
            losses = []
            one_way = causal or maker.mix.middle_last
            for batch in batches:
                weighted, plain = canvas_loss(run.model, batch, one_way)
                (weighted / len(batches)).backward()
                losses.append(plain.detach())
            torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
            for each in run.optimisers:
                for group in each.param_groups:
                    group["lr"] = config.learning_rate * rate_at(
                        run.step, run.tokens / config.tokens
                    )
                each.step()
                each.zero_grad(set_to_none=True)
            run.step += 1
            run.tokens += size
            run.seconds += time.perf_counter() - began
            yield {
                "step": run.step,
                "tokens": run.tokens,
                "loss": float(torch.stack(losses).mean()),
                "causal": causal,
                "seconds": run.seconds,
            }


def gathered(config: PretrainConfig) -> Iterator[Source]:
    """All that a run is told to learn from."""
    listed = LISTED if config.corpus == Path("packages") else config.corpus
    if listed.suffix == ".txt":
        yield from read_sources(fetch(listed, config.out / "wheels"))
    else:
        yield from read_sources([config.corpus])
    if config.library:
        yield from read_library()
    if config.installed:
        yield from read_installed()


def prepare(config: PretrainConfig) -> CanvasMaker:
    """Pack the corpus and train the vocabulary, unless an earlier start of this run did."""
    packed = (
        config.corpus
        if (config.corpus / "offsets.npy").exists()
        else config.out / "corpus"
    )
    if packed != config.corpus and not (packed / "offsets.npy").exists():
        corpora.build(gathered(config), packed, config.exclude)
    corpus = corpora.open_corpus(packed)
    vocabulary = config.out / "tokenizer.json"
    if config.init is not None:
        vocabulary = config.init / "tokenizer.json"
    if not vocabulary.exists():
        train_vocabulary(
            texts(corpus, max(1, len(corpus) // 3000)), config.vocabulary
        ).save(str(vocabulary))
    ids = small_network(config.hidden, config.layers, config.vocabulary)
    assert (
        ids.pad_token_id is not None
        and ids.bos_token_id is not None
        and ids.eos_token_id is not None
    )
    return CanvasMaker(
        corpus,
        open_vocabulary(vocabulary),
        Ids(
            mask=ids.mask_token_id,
            pad=ids.pad_token_id,
            bos=ids.bos_token_id,
            eos=ids.eos_token_id,
        ),
        mix=config.mix,
    )


def export(run: Run) -> None:
    """Write the model folder: bfloat16 safetensors under the published names, config, vocabulary."""
    folder = run.config.out / "model"
    folder.mkdir(exist_ok=True)
    tensors = {
        name: weight.to(torch.bfloat16).contiguous()
        for name, weight in run.model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {
        "model_type": "Dream",
        "architectures": ["DreamModel"],
        **asdict(run.model.config),
    }
    (folder / "config.json").write_text(
        json.dumps(settings, indent=1, sort_keys=True) + "\n"
    )
    vocabulary = (run.config.init or run.config.out) / "tokenizer.json"
    (folder / "tokenizer.json").write_bytes(vocabulary.read_bytes())


def account(run: Run, held_out: float) -> None:
    """What a model card has to say of a run, beside its log and its corpus' tally."""
    told = {
        "config": asdict(run.config),
        "tokens": run.tokens,
        "steps": run.step,
        "seconds": run.seconds,
        "held_out": held_out,
    }
    (run.config.out / "run.json").write_text(
        json.dumps(told, indent=1, default=str) + "\n"
    )


def log_from(file: Path, step: int) -> TextIO:
    """The log up to that step, open for more: a kill may have left later steps in it, which
    come again, and half a line."""
    lines = file.read_text().splitlines()[:step] if file.exists() else []
    file.write_text("".join(f"{line}\n" for line in lines))
    return file.open("a")


def pretrain(config: PretrainConfig) -> Path:
    """Train (or resume) to the end; returns the model folder."""
    config.out.mkdir(parents=True, exist_ok=True)
    maker = prepare(config)
    model = starting_model(config)
    run = Run(config, model, optimisers(model, config.learning_rate))
    run.resume()
    saved = time.monotonic()
    with (
        log_from(config.out / "log.jsonl", run.step) as log,
        Progress(config.tokens) as bar,
    ):
        for figures in train(run, maker):
            log.write(json.dumps(figures) + "\n")
            bar.show(figures)
            if time.monotonic() - saved > SAVE_EVERY_S:
                log.flush()
                run.save()
                saved = time.monotonic()
    run.save()
    export(run)
    held_out = CanvasMaker(
        maker.corpus, maker.tokenizer, maker.ids, held_out=True, mix=config.mix
    )
    loss = held_out_loss(model, held_out)
    account(run, loss)
    print(f"held-out {config.objective} loss: {loss:.3f} nats")
    return config.out / "model"
