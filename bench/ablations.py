"""What each choice of training does, from one start, each trained for the same tokens.

    .venv/bin/python bench/ablations.py CORPUS --init MODEL_FOLDER --out ablations \
      --data HumanEval-SingleLineInfilling.jsonl.gz --tokens 500000

CORPUS is packed (`run/corpus`). With --init every variant goes on from these weights; without,
from the same random ones, at --hidden and --layers. The vocabularies are trained from scratch,
left to right, and compared by nats per character, which no vocabulary favours. Started again,
it goes on where it was; variants can be named. Prints a table in Markdown.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from dlmd import profiles
from dlmd.decode import Tokenizer
from dlmd.model import Dream, load
from dlmd_finetune.canvases import NO_LABEL, CanvasMaker, texts
from dlmd_finetune.corpus import open_corpus
from dlmd_finetune.cutting import Mix
from dlmd_finetune.evidence.asking import Choices, Subject, exact_match_probe
from dlmd_finetune.evidence.formats import read_tasks
from dlmd_finetune.evidence.tasks import Task, is_exact, parses, program, sample
from dlmd_finetune.pretrain import (
    HELD_OUT_SEED,
    SHORT,
    PretrainConfig,
    Run,
    export,
    optimisers,
    prepare,
    starting_model,
    train,
)
from dlmd_finetune.vocabulary import train_vocabulary
from fim_infill import Rival
from torch.nn import functional as F

MIXES = {
    "as it is": Mix(),
    "padding weighs 0.03": Mix(surplus_weight=0.03),
    "padding weighs 0.3": Mix(surplus_weight=0.3),
    "padding weighs 1": Mix(surplus_weight=1.0),
    "no whole bodies": Mix(bodies=0.0),
    "bodies in a quarter": Mix(bodies=0.25),
    "fewer holes at once": Mix(dense=0.2),
    "names changed in a third": Mix(renamed=0.33),
    "left to right, middle last": Mix(middle_last=True),
}
VOCABULARIES = (2048, 4096, 8192)
BATCHES = 8


def trained(config: PretrainConfig, mix: Mix) -> tuple[Dream, CanvasMaker]:
    """From the last checkpoint on, where an earlier start left one."""
    config.out.mkdir(parents=True, exist_ok=True)
    maker = prepare(config)
    maker.mix = mix
    model = starting_model(config)
    run = Run(config, model, optimisers(model, config.learning_rate))
    run.resume()
    for figures in train(run, maker):
        if figures["step"] % 20 == 0:
            run.save()
            print(f"  {config.out.name}: {figures['tokens']:,.0f} tokens", flush=True)
    run.save()
    export(run)
    return model.eval(), maker


def other_maker(maker: CanvasMaker, mix: Mix) -> CanvasMaker:
    return CanvasMaker(maker.corpus, maker.tokenizer, maker.ids, held_out=True, mix=mix)


@torch.no_grad()
def nats(model: Dream, maker: CanvasMaker) -> dict[str, float]:
    """On held-out canvases: nats a token of content, and how often a slot of content is taken
    for padding, or one of padding for content."""
    losses, early, late = [], [], []
    for part in range(BATCHES):
        batch = maker.batch(8, SHORT, False, (HELD_OUT_SEED, part))
        labels = torch.from_numpy(batch.labels_BT).flatten()
        slots_N = torch.nonzero(labels != NO_LABEL).squeeze(1)
        truth_N = labels[slots_N]
        logits_NV = model(torch.from_numpy(batch.tokens_BT), rows_N=slots_N - 1)
        content_N = truth_N != maker.ids.pad
        guessed_N = logits_NV.argmax(-1) == maker.ids.pad
        known = F.cross_entropy(logits_NV.float(), truth_N, reduction="none")
        losses += known[content_N].tolist()
        early += guessed_N[content_N].tolist()
        late += (~guessed_N[~content_N]).tolist()
    return {
        "nats": sum(losses) / len(losses),
        "ends too early": sum(early) / len(early),
        "too late": sum(late) / len(late),
    }


@torch.no_grad()
def nats_per_character(model: Dream, maker: CanvasMaker) -> float:
    """Left to right on held-out text: what no vocabulary favours."""
    total, characters = 0.0, 0
    for part in range(BATCHES):
        tokens = maker.batch(8, SHORT, True, (HELD_OUT_SEED, part)).tokens_BT
        tokens_BT = torch.from_numpy(tokens)
        logits_BTV = model(tokens_BT, causal=True)[:, :-1].float()
        losses = F.cross_entropy(
            logits_BTV.flatten(0, 1), tokens_BT[:, 1:].flatten(), reduction="sum"
        )
        total += float(losses)
        characters += sum(len(maker.tokenizer.decode(row)) for row in tokens.tolist())
    return total / characters


def mixes(args: argparse.Namespace, shared: PretrainConfig) -> Iterator[list[str]]:
    tasks = sample(read_tasks(args.data, "infilling"), args.tasks, 0)
    yield [
        *("variant", "nats a token", "names changed", "whole bodies"),
        *("ends too early", "too late", f"exact of {len(tasks)}", "parses"),
    ]
    for name, mix in MIXES.items():
        if args.only and name not in args.only:
            continue
        kept = args.out / f"{name.replace(' ', '-')}.json"
        if not kept.exists():
            config = replace(shared, out=args.out / kept.stem, causal_share=0.0)
            model, maker = trained(config, mix)
            kept.write_text(json.dumps(figures_of(model, maker, mix, tasks, config)))
        yield [name, *json.loads(kept.read_text())]


def figures_of(
    model: Dream,
    maker: CanvasMaker,
    mix: Mix,
    tasks: list[Task],
    config: PretrainConfig,
) -> list[str]:
    if mix.middle_last:  # it is asked otherwise, and its losses are of another kind
        rival = Rival(config.out / "model")
        texts = [rival.fill(task).text for task in tasks]
        pairs = list(zip(tasks, texts, strict=True))
        shares = [is_exact, lambda task, text: parses(program(task, text))]
        return ["-"] * 5 + [
            f"{100 * sum(share(*pair) for pair in pairs) / len(pairs):.1f} %"
            for share in shares
        ]
    plain = nats(model, other_maker(maker, Mix()))
    others = [
        nats(model, other_maker(maker, each))["nats"]
        for each in (Mix(renamed=1.0), Mix(bodies=1.0))
    ]
    folder = config.out / "model"
    subject = Subject(
        network=load(folder),
        tokenizer=Tokenizer.load(folder),
        profile=profiles.for_folder(folder),
    )
    probe = exact_match_probe(subject, tasks, Choices(mode="quality"))
    shares = [
        plain["ends too early"],
        plain["too late"],
        probe["exact"],
        probe["parses"],
    ]
    return [f"{each:.2f}" for each in (plain["nats"], *others)] + [
        f"{100 * each:.1f} %" for each in shares
    ]


def vocabularies(
    args: argparse.Namespace, shared: PretrainConfig
) -> Iterator[list[str]]:
    yield ["vocabulary", "nats a character", "nats a token", "characters a token"]
    corpus = open_corpus(args.corpus)
    for size in VOCABULARIES:
        kept = args.out / f"vocabulary-{size}.json"
        if not kept.exists():
            config = replace(
                shared,
                out=args.out / f"vocabulary-{size}",
                init=None,
                vocabulary=size,
                causal_share=1.0,
            )
            config.out.mkdir(parents=True, exist_ok=True)
            file = config.out / "tokenizer.json"
            if not file.exists():
                every = max(1, len(corpus) // 1000)
                train_vocabulary(texts(corpus, every), size).save(str(file))
            model, maker = trained(config, Mix())
            held = other_maker(maker, Mix())
            each = nats_per_character(model, held)
            tokens = held.batch(8, SHORT, True, (HELD_OUT_SEED, 0)).tokens_BT
            text = "".join(held.tokenizer.decode(row) for row in tokens.tolist())
            ratio = len(text) / tokens.size
            kept.write_text(
                json.dumps([f"{each:.3f}", f"{each * ratio:.2f}", f"{ratio:.2f}"])
            )
        yield [str(size), *json.loads(kept.read_text())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", type=Path, default=None)
    parser.add_argument("--tokens", type=int, default=500_000)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--vocabularies", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    shared = PretrainConfig(
        corpus=args.corpus,
        out=args.out,
        init=args.init,
        tokens=args.tokens,
        hidden=args.hidden,
        layers=args.layers,
        batch_tokens=4096,
        learning_rate=2e-3,
    )
    rows = vocabularies if args.vocabularies else mixes
    for number, row in enumerate(rows(args, shared)):
        print(f"| {' | '.join(row)} |", flush=True)
        if not number:
            print(f"| {' | '.join('---' for _ in row)} |", flush=True)


if __name__ == "__main__":
    main()
