"""A document with holes in, denoising states out: what the daemon streams.

Ties the rooms together: layout, length, denoising, text. It decodes with the published
decoder only. The modes "quality" and "fast" are accepted and run that same decoder,
because no faster one exists yet. Must not know requests, clients or threads.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Generator

from dlmd.decode.canvas import (
    Canvas,
    Hole,
    Part,
    Pieces,
    draw_pieces,
    lay_out,
)
from dlmd.decode.chat import ends_of, lay_out_chat
from dlmd.decode.length import denoise_own_length
from dlmd.decode.loop import denoise, yields
from dlmd.decode.settings import DecodeSettings
from dlmd.decode.tokenizer import Tokenizer
from dlmd.model import Dream
from dlmd.profiles import Profile

MODES = ("exact", "quality", "fast")


@dataclass(frozen=True, slots=True, kw_only=True)
class InfillSettings:
    """What a request may choose. All `mode`s run the published decoder so far.
    `tokens_per_step` sets the number of steps, as DiffuCoder's users know it.
    Candidate c of `n` draws from `seed` + c."""

    mode: str = "exact"
    steps: int | None = None
    tokens_per_step: float | None = None
    temperature: float = 0.0
    top_p: float | None = None
    seed: int | None = None
    n: int = 1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; give {' or '.join(MODES)}")
        if self.n < 1:
            raise ValueError(f"n is {self.n}; give at least 1 candidate")
        if self.steps is not None and self.tokens_per_step is not None:
            raise ValueError(
                "both steps and tokens_per_step are given; give one of the two"
            )
        if self.tokens_per_step is not None and not self.tokens_per_step > 0:
            raise ValueError(
                f"tokens_per_step is {self.tokens_per_step}; give a number above 0"
            )
        self.decoding(masks=1)  # the bounds of the other numbers are the decoder's

    def decoding(self, masks: int) -> DecodeSettings:
        steps = self.steps
        if self.tokens_per_step is not None:
            steps = max(1, ceil(masks / self.tokens_per_step))
        return DecodeSettings(
            steps=steps,
            temperature=self.temperature,
            top_p=self.top_p,
            schedule="even",
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One denoising state of one candidate."""

    candidate: int
    step: int
    of: int
    holes: list[Pieces]
    confidence: list[list[float]]  # aligned with the pieces; 0.0 for masked runs
    texts: list[str] | None  # per hole, once this candidate is final
    finish: str  # "" while running, then "stop" or "length"
    forwards: int
    context: int  # positions of the canvas


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What stays the same over all frames of one request."""

    holes: tuple[range, ...]  # masked positions
    initials: tuple[str, ...]  # text each hole starts with
    tokenizer: Tokenizer
    profile: Profile
    ends: frozenset[int] = frozenset()  # tokens after which a hole's rest is nothing


def infill(
    model: Dream,
    tokenizer: Tokenizer,
    profile: Profile,
    parts: Sequence[Part],
    settings: InfillSettings,
    *,
    budget: int | None = None,
    chat: Sequence[Mapping[str, str]] | None = None,
) -> Iterator[Frame]:
    """States of every candidate, one after each step. Faults of the request show at the
    call, before the first state. `budget` crops below the profile's context; `chat` is
    what was said before the parts."""
    if chat is None:
        layout = lay_out(parts, tokenizer, profile, budget)
    else:
        layout = lay_out_chat(chat, parts, tokenizer, profile)
    holes = [part for part in parts if isinstance(part, Hole)]
    document = Document(
        holes=layout.holes,
        initials=tuple(hole.initial or "" for hole in holes),
        tokenizer=tokenizer,
        profile=profile,
        ends=frozenset() if chat is None else ends_of(tokenizer, profile),
    )
    device = next(model.parameters()).device
    canvas = Canvas(
        torch.tensor([layout.tokens] * settings.n, device=device),
        mask_id=profile.mask_id,
    )
    own_length = [
        masks
        for hole, masks in zip(holes, layout.holes, strict=True)
        if hole.length == "auto" and profile.length_policy == "padding" and len(masks)
    ]
    return frames(model, canvas, document, settings, own_length)


def frames(
    model: Dream,
    canvas: Canvas,
    document: Document,
    settings: InfillSettings,
    own_length: Sequence[range],
) -> Iterator[Frame]:
    decoding = settings.decoding(masks=canvas.masks_B[0])
    of = yields(canvas, decoding)
    if of == 0:
        yield from drawn(canvas, document, 0, 0)
    chance = candidate_generators(settings)
    if own_length:
        pads = document.profile.pad_ids
        states = denoise_own_length(
            model, canvas, decoding, holes=own_length, pad_ids=pads, generator=chance
        )
    else:
        states = denoise(model, canvas, decoding, generator=chance)
    for step, state in enumerate(states, start=1):
        left = int(state.masked_BT.sum(dim=-1).max())
        of = min(of, step + left)  # a hole that ended early has fewer steps to come
        yield from drawn(state, document, step, of)
        if document.ends and over(state, document):
            return


def over(canvas: Canvas, document: Document) -> bool:
    """Whether no mask is left that a reader would see."""
    if not document.ends:
        return not canvas.masked_BT.any()
    rows = canvas.tokens_BT.tolist()
    spans = [spoken(row, hole, document) for row in rows for hole in document.holes]
    return all(canvas.mask_id not in span for span in spans)


def spoken(row: list[int], hole: range, document: Document) -> list[int]:
    """The tokens of a hole, up to the first that ends it."""
    ids = row[hole.start : hole.stop]
    at = (k for k, token in enumerate(ids) if token in document.ends)
    return ids[: next(at, len(ids))]


def candidate_generators(settings: InfillSettings) -> list[Generator]:
    seed = secrets.randbits(62) if settings.seed is None else settings.seed
    return [Generator().manual_seed((seed + c) % 2**63) for c in range(settings.n)]


def drawn(canvas: Canvas, document: Document, step: int, of: int) -> Iterator[Frame]:
    """One frame for each candidate."""
    ranks_BT = canvas.confidence_BT
    if ranks_BT is None:
        ranks_BT = torch.zeros_like(canvas.tokens_BT, dtype=torch.float32)
    # The decoder ranks by negative entropy: its exponential lies in 0..1.
    certain = ranks_BT.exp().clamp(max=1.0).tolist()
    rows = canvas.tokens_BT.tolist()
    final = over(canvas, document)
    for candidate, (row, sure) in enumerate(zip(rows, certain, strict=True)):
        spans = document.holes
        holes = [
            draw_hole(
                spoken(row, h, document), sure[h.start : h.stop], initial, document
            )
            for h, initial in zip(spans, document.initials, strict=True)
        ]
        if final:
            holes = [finished(*hole) for hole in holes]
        yield Frame(
            candidate=candidate,
            step=step,
            of=of,
            holes=[pieces for pieces, _ in holes],
            confidence=[numbers for _, numbers in holes],
            texts=["".join(map(str, pieces)) for pieces, _ in holes] if final else None,
            finish=ending(row, document) if final else "",
            forwards=canvas.forwards,
            context=len(row),
        )


def draw_hole(
    ids: list[int], sure: list[float], initial: str, document: Document
) -> tuple[Pieces, list[float]]:
    pieces, numbers = draw_pieces(
        ids, sure, document.profile.mask_id, document.tokenizer
    )
    if initial and pieces and isinstance(pieces[0], str):
        pieces[0] = initial + pieces[0]
    elif initial:
        pieces, numbers = [initial, *pieces], [1.0, *numbers]
    return pieces, numbers


def finished(pieces: Pieces, numbers: list[float]) -> tuple[Pieces, list[float]]:
    """What a finished hole shows: characters still broken now will never be whole."""
    told = [
        (piece, number)
        for piece, number in zip(pieces, numbers, strict=True)
        if isinstance(piece, str)
    ]
    if not told:
        return [], []
    text = "".join(piece for piece, _ in told)
    return [text], [sum(number for _, number in told) / len(told)]


def ending(row: Sequence[int], document: Document) -> str:
    """ "stop" when the model ended every hole itself, by surplus or an end of text."""
    if document.ends:
        cut = [len(spoken(list(row), h, document)) < len(h) for h in document.holes]
        return "stop" if all(cut) else "length"
    ends = {*document.profile.pad_ids, document.profile.eos_id}
    stopped = all(h and row[h.stop - 1] in ends for h in document.holes)
    return "stop" if stopped else "length"
