"""A document with holes in, denoising states out: what the daemon streams.

Ties the rooms together: layout, mode, length, denoising, pins, text. Must not know
requests, clients or threads.
"""

import secrets
from collections.abc import Generator as Run
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Generator

from dlmd.decode.cached import denoise_cached
from dlmd.decode.canvas import (
    Canvas,
    Hole,
    Part,
    Pieces,
    as_learnt,
    draw_pieces,
    lay_out,
)
from dlmd.decode.chat import ends_of, lay_out_chat
from dlmd.decode.draft import laid_over
from dlmd.decode.graphed import Graphed, denoise_graphed
from dlmd.decode.length import Lengths, lengths_of
from dlmd.decode.loop import denoise, yields
from dlmd.decode.modes import InfillSettings
from dlmd.decode.pins import Pin, checked, written
from dlmd.decode.tokenizer import Tokenizer
from dlmd.decode.warm import Pool, denoise_pooled
from dlmd.model import Dream
from dlmd.profiles import Profile


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
    forwards_full: int  # over the whole canvas
    forwards_cached: int  # over a window of it
    query_rows: int  # positions that all of these computed
    context: int  # positions of the canvas
    # The same by positions of the holes, for who looks into the order of commits.
    tokens: list[list[int]] = field(default_factory=list)
    certainty: list[list[float]] = field(default_factory=list)

    @property
    def forwards(self) -> int:
        return self.forwards_full + self.forwards_cached


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a request is about, beside the canvas. Only a pin changes it."""

    holes: tuple[range, ...]  # positions for the model to fill
    spans: tuple[range, ...]  # these and what each hole starts with
    initials: tuple[str, ...]  # text each hole starts with
    tokenizer: Tokenizer
    profile: Profile
    ends: frozenset[int] = frozenset()  # tokens after which a hole's rest is nothing
    chosen: tuple[bool, ...] = ()  # holes that the model gave their length
    by_token: bool = False  # a piece for each token


def infill(
    model: Dream,
    tokenizer: Tokenizer,
    profile: Profile,
    parts: Sequence[Part],
    settings: InfillSettings,
    *,
    budget: int | None = None,
    chat: Sequence[Mapping[str, str]] | None = None,
    pool: Pool | None = None,
    graphed: Graphed | None = None,
) -> Run[Frame, Pin | None, None]:
    """States of every candidate, one after each step. Faults of the request show at the
    call, before the first state. A `Pin` sent between steps stays from then on; the rest
    of its hole adapts. `budget` crops below the profile's context; `chat` is
    what was said before the parts; a `pool` keeps keys between requests."""
    if chat is None:
        layout = lay_out(parts, tokenizer, profile, budget)
    else:
        layout = lay_out_chat(chat, parts, tokenizer, profile)
    holes = [part for part in parts if isinstance(part, Hole)]
    initials = tuple(hole.initial or "" if hole.keep is None else "" for hole in holes)
    document = Document(
        holes=layout.holes,
        spans=tuple(
            range(
                max(0, masks.start - len(tokenizer.encode(as_learnt(initial)))),
                masks.stop,
            )
            for masks, initial in zip(layout.holes, initials, strict=True)
        ),
        initials=initials,
        tokenizer=tokenizer,
        profile=profile,
        ends=frozenset() if chat is None else ends_of(tokenizer, profile),
        by_token=settings.by_token,
    )
    device = next(model.parameters()).device
    canvas = Canvas(
        torch.tensor([layout.tokens] * settings.n, device=device),
        mask_id=profile.mask_id,
    )
    auto = [
        masks
        for hole, masks in zip(holes, layout.holes, strict=True)
        if hole.length == "auto" and hole.keep is None and len(masks)
    ]
    drafts = [
        (masks, tokenizer.encode(as_learnt(hole.initial or "")), hole.keep)
        for hole, masks in zip(holes, layout.holes, strict=True)
        if hole.keep is not None
    ]
    canvas = laid_over(model, canvas, drafts)
    lengths = lengths_of(profile, auto)
    return frames(model, canvas, document, settings, lengths, pool, graphed)


def frames(
    model: Dream,
    canvas: Canvas,
    document: Document,
    settings: InfillSettings,
    lengths: Lengths,
    pool: Pool | None = None,
    graphed: Graphed | None = None,
) -> Run[Frame, Pin | None, None]:
    canvas, holes = lengths.begin(model, canvas, document.holes)
    document = laid_anew(document, holes)
    decoding = settings.decoding(masks=canvas.masks_B[0])
    of, step = yields(canvas, decoding), 0
    if of == 0:
        yield from shown(canvas, document, 0, 0)
        return
    decoder: Any = denoise_cached if settings.cached else denoise
    if pool is not None and settings.cached and settings.n == 1:
        decoder = partial(denoise_pooled, pool=pool)
    if graphed is not None and settings.cached:
        decoder = partial(denoise_graphed, graphed=graphed)
    chance = candidate_generators(settings)
    states = lengths.follow(
        decoder(model, canvas, decoding, generator=chance, ending=lengths.ending())
    )
    changed: Canvas | None = None
    while True:
        try:
            canvas = states.send(changed)
        except StopIteration:
            # A pin left nothing to fill.
            if changed is not None:
                yield from shown(changed, document, step, step)
            return
        step += 1
        left = int(canvas.masked_BT.sum(dim=-1).max())
        if step == 1 and settings.cached and not canvas.forwards_full:
            of += 1  # a state by keys of another request: the run itself is to come
        else:
            of = step + left if changed is not None else min(of, step + left)
        pins = yield from shown(canvas, document, step, of)
        if over(canvas, document):  # told as final: nothing can be changed any more
            return
        after = canvas
        for pin in pins:
            document, after = pinned(after, document, pin)
        changed = None if after is canvas else after


def laid_anew(document: Document, holes: tuple[range, ...]) -> Document:
    """The document with its holes at other positions, some of them shorter: whose length
    is then the model's own."""
    places = list(zip(document.holes, document.spans, holes, strict=True))
    return replace(
        document,
        holes=holes,
        spans=tuple(
            range(now.start - (then.start - span.start), now.stop)
            for then, span, now in places
        ),
        chosen=tuple(len(now) < len(then) for then, _, now in places),
    )


def pinned(canvas: Canvas, document: Document, pin: Pin) -> tuple[Document, Canvas]:
    """The document with that text at the start of a hole, and the canvas to go on from:
    the same where that text stands there already."""
    k = checked(pin, len(document.holes)).hole
    if all(text.startswith(pin.text) for text in starts(canvas, document, k)):
        return document, canvas
    ids = document.tokenizer.encode(as_learnt(pin.text))
    canvas, rest = written(canvas, document.spans[k], ids)
    holes, initials = list(document.holes), list(document.initials)
    holes[k], initials[k] = rest, pin.text
    document = replace(document, holes=tuple(holes), initials=tuple(initials))
    return document, canvas


def starts(canvas: Canvas, document: Document, k: int) -> Iterator[str]:
    """The settled text at the start of hole `k`, of each candidate."""
    hole = document.holes[k]
    for row in canvas.tokens_BT[:, hole.start : hole.stop].tolist():
        pieces, _ = draw_hole(row, [0.0] * len(row), document.initials[k], document)
        yield pieces[0] if pieces and isinstance(pieces[0], str) else ""


def shown(
    canvas: Canvas, document: Document, step: int, of: int
) -> Run[Frame, Pin | None, list[Pin]]:
    """A frame for each candidate, and what was pinned while they were shown."""
    pins = []
    for frame in drawn(canvas, document, step, of):
        pin = yield frame
        if pin is not None:
            pins.append(pin)
    return pins


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
        tokens = [spoken(row, hole, document) for hole in document.holes]
        numbers = [
            sure[hole.start :][: len(ids)]
            for hole, ids in zip(document.holes, tokens, strict=True)
        ]
        holes = [
            draw_hole(ids, known, initial, document)
            for ids, known, initial in zip(
                tokens, numbers, document.initials, strict=True
            )
        ]
        if final:
            holes = [finished(*hole, by_token=document.by_token) for hole in holes]
        yield Frame(
            candidate=candidate,
            step=step,
            of=of,
            holes=[pieces for pieces, _ in holes],
            confidence=[numbers for _, numbers in holes],
            texts=["".join(map(str, pieces)) for pieces, _ in holes] if final else None,
            finish=ending(row, document) if final else "",
            forwards_full=canvas.forwards_full,
            forwards_cached=canvas.forwards_cached,
            query_rows=canvas.query_rows,
            context=len(row),
            tokens=tokens,
            certainty=numbers,
        )


def draw_hole(
    ids: list[int], sure: list[float], initial: str, document: Document
) -> tuple[Pieces, list[float]]:
    pieces, numbers = draw_pieces(
        ids,
        sure,
        document.profile.mask_id,
        document.tokenizer,
        by_token=document.by_token,
    )
    if initial and pieces and isinstance(pieces[0], str):
        pieces[0] = initial + pieces[0]
    elif initial:
        pieces, numbers = [initial, *pieces], [1.0, *numbers]
    return pieces, numbers


def finished(
    pieces: Pieces, numbers: list[float], *, by_token: bool = False
) -> tuple[Pieces, list[float]]:
    """What a finished hole shows: characters still broken now will never be whole."""
    told = [
        (piece, number)
        for piece, number in zip(pieces, numbers, strict=True)
        if isinstance(piece, str)
    ]
    if not told:
        return [], []
    if by_token:
        return [piece for piece, _ in told], [number for _, number in told]
    text = "".join(piece for piece, _ in told)
    return [text], [sum(number for _, number in told) / len(told)]


def ending(row: Sequence[int], document: Document) -> str:
    """ "stop" when the model ended every hole itself, by surplus or an end of text."""
    if document.ends:
        cut = [len(spoken(list(row), h, document)) < len(h) for h in document.holes]
        return "stop" if all(cut) else "length"
    ends = {*document.profile.pad_ids, document.profile.eos_id}
    stopped = all(
        chosen or (hole and row[hole.stop - 1] in ends)
        for hole, chosen in zip(document.holes, document.chosen, strict=True)
    )
    return "stop" if stopped else "length"
