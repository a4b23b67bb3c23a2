"""Rollouts are infills: a real file with a hole where code was, through the product's decoder.

What is rolled out here is what the daemon would write: the same layout, decoder and length
policy, and never the length of what stood there. A policy that is sure of a length would
never learn a longer way, so one half of a training group draws its length at random. Every
seed derives from (run, step, task, rollout): who decodes it, and beside what, changes
nothing. Must not know tests, rewards or losses.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from dlmd.decode import Hole, InfillSettings, Tokenizer, infill
from dlmd.decode.canvas import lay_out
from dlmd.model import Dream
from dlmd.profiles import Profile

from dlmd_finetune.tasks.task import Level, Task, text_of

# Room for a fill; statements are short enough for the search that the daemon makes.
MASKS: dict[Level, int] = {"statement": 32, "block": 48, "body": 128}
DRAWN: dict[Level, int] = {"statement": 12, "block": 32, "body": 64}  # longest drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """A model with all that it takes to ask it."""

    network: Dream
    tokenizer: Tokenizer
    profile: Profile
    context: int  # tokens it sees, at most
    mode: str = "fast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How rollouts are drawn."""

    temperature: float
    top_p: float | None = None
    explore: bool = False  # half of them at a length drawn at random
    tokens_per_step: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One fill: its text, and where its tokens stand between the file's."""

    task: str
    number: int
    text: str
    before: tuple[int, ...]
    tokens: tuple[int, ...]  # up to where the model ended the hole
    after: tuple[int, ...]
    order: tuple[int, ...] = ()  # positions in the hole, first committed first
    forwards: int = 0

    @property
    def canvas(self) -> tuple[int, ...]:
        return self.before + self.tokens + self.after


def seed_of(*parts: int | str) -> int:
    """63 bits that belong to these parts alone."""
    told = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(told).digest()[:8], "big") >> 1


def parts_of(tree: Path, task: Task, hole: Hole) -> list[str | Hole]:
    """The file with the hole in place of the task's code."""
    text = text_of(tree, task.path)
    return [text[: task.start], hole, text[task.end :]]


def roll(
    writer: Writer,
    tree: Path,
    task: Task,
    draw: Draw,
    count: int,
    *,
    seed: Sequence[int | str],
) -> list[Rollout]:
    """`count` fills of one task; rollout r draws from the seed's r-th stream."""
    first = seed_of(*seed, task.id)
    most = MASKS[task.level]
    same = count - count // 2 if draw.explore else count
    found = batch(writer, tree, task, draw, Hole(max_tokens=most), range(same), first)
    if same < count:
        length = 1 + seed_of(*seed, task.id, "length") % DRAWN[task.level]
        numbers = range(same, count)
        found += batch(writer, tree, task, draw, Hole(length=length), numbers, first)
    return found


def batch(
    writer: Writer,
    tree: Path,
    task: Task,
    draw: Draw,
    hole: Hole,
    numbers: range,
    first: int,
) -> list[Rollout]:
    """Neighbouring rollouts in one batch."""
    profile, tokenizer = writer.profile, writer.tokenizer
    parts = parts_of(tree, task, hole)
    settings = InfillSettings(
        mode=writer.mode,
        temperature=draw.temperature,
        top_p=draw.top_p if draw.temperature else None,
        seed=(first + numbers.start) % 2**63,
        n=len(numbers),
        tokens_per_step=draw.tokens_per_step,
    )
    layout = lay_out(parts, tokenizer, profile, writer.context)
    (masks,) = layout.holes
    before, after = layout.tokens[: masks.start], layout.tokens[masks.stop :]
    surplus = {*profile.pad_ids, profile.eos_id} - {None}
    states = infill(
        writer.network, tokenizer, profile, parts, settings, budget=writer.context
    )
    orders: list[list[int]] = [[] for _ in numbers]
    found = {}
    with torch.no_grad():
        for frame in states:
            tokens = frame.tokens[0]
            order = orders[frame.candidate]
            order += settled(tokens, frame.certainty[0], order, profile.mask_id)
            if frame.texts is None:
                continue
            kept = tokens[: ended(tokens, surplus)]
            found[frame.candidate] = Rollout(
                task=task.id,
                number=numbers[frame.candidate],
                text=frame.texts[0],
                before=before,
                tokens=tuple(kept),
                after=after,
                order=tuple(place for place in order if place < len(kept)),
                forwards=frame.forwards,
            )
    return [found[n] for n in range(len(numbers))]


def settled(
    tokens: Sequence[int], certainty: Sequence[float], known: list[int], mask_id: int
) -> list[int]:
    """Places that a step committed, the surest first, of equals the left one."""
    seen = set(known)
    fresh = [p for p, t in enumerate(tokens) if t != mask_id and p not in seen]
    return sorted(fresh, key=lambda place: (-certainty[place], place))


def ended(tokens: Sequence[int], surplus: Collection[int | None]) -> int:
    """Where a hole ends: at the first token that means nothing. What follows would tell
    the length to whoever scores the fill."""
    return next((n for n, t in enumerate(tokens) if t in surplus), len(tokens))
