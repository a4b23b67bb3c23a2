"""How many masks a hole needs, by trying: for models that were taught padding, too.

A model that may end a hole by padding starts by looking at a wide gap, and what it is
surest of there is rarely what a gap of one or two tokens would hold. So short lengths are
tried as they would be decoded, a row for each: masks are filled with the likeliest
tokens, in a few steps. Then two questions are put to the most promising. The neighbours
of the hole are hidden: text of the right length also explains what stands around it. And
a few more masks follow the text: the model should say that nothing comes there. A length
wins by the log-probability of its text and, for less, of both answers. Where no length
gets far enough, the hole keeps its slots and ends where the model pads. Several holes are
tried at once, in the same rows. Must not know how rows are asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dlmd.decode.canvas import Canvas
from dlmd.decode.length_desk import Desk, Said
from dlmd.model import Dream

LENGTHS = range(1, 9)
FINALISTS = 4  # lengths that are filled and questioned
SHARES = (0.5, 0.5, 1.0)  # of the masks left, at each step
BEFORE, AFTER = 1, 2  # neighbours that are hidden
MORE = 4  # masks after the text
# Fitted on holes that the embedded model solves at their true length, from packages that
# none of the figures in docs/decoding.md come from.
NEIGHBOURS = 0.3  # what a neighbour's log-probability counts, beside a token's own
NOTHING = 0.4  # and that of nothing after the text
LEAST, LEAST_NOTHING = -12.0, -4.0  # some neighbours, some ends nobody could foresee
LONGER = 0.1  # for each token: a product of more probabilities is smaller
PROMISE = 0.15  # the same, after the first look
ENOUGH = -6.0  # a lower score than this says nothing about the length


@dataclass(slots=True, kw_only=True, eq=False)
class Trial:
    """One length of one hole."""

    inside: list[int]
    sure: float = 0.0  # log-probability of what was filled in so far
    outlook: float = 0.0  # and of what the first look would fill in
    around: float = 0.0  # of the neighbours
    nothing: float = 0.0  # of nothing after the text

    @property
    def promise(self) -> float:
        return self.outlook + PROMISE * len(self.inside)

    @property
    def score(self) -> float:
        around = NEIGHBOURS * max(LEAST, self.around)
        nothing = NOTHING * max(LEAST_NOTHING, self.nothing)
        return self.sure + around + nothing + LONGER * len(self.inside)


Trials = list[list[Trial]]  # of each hole


def tried(
    model: Dream, canvas: Canvas, holes: Sequence[range], pad_ids: Sequence[int]
) -> tuple[dict[range, int], Canvas]:
    """The lengths that win, without the holes where none does; and the canvas with the
    work counted."""
    if not holes or canvas.valid_BT is not None:
        return {}, canvas
    desk = Desk(model, canvas, holes, pad_ids, room=max(LENGTHS) + MORE)
    trials = judged(desk, [len(hole) for hole in holes])
    found = {}
    for hole, each in zip(holes, trials, strict=True):
        best = max(each, key=lambda trial: trial.score)
        if best.score > ENOUGH:
            found[hole] = len(best.inside)
    counted = replace(
        canvas,
        forwards_cached=canvas.forwards_cached + desk.forwards,
        query_rows=canvas.query_rows + desk.rows,
    )
    return found, counted


def judged(desk: Desk, most: Sequence[int], finalists: int = FINALISTS) -> Trials:
    """The trials that came to the end, questioned; `most` bounds each hole's lengths."""
    trials = [
        [Trial(inside=[desk.mask_id] * n) for n in LENGTHS if n <= bound]
        for bound in most
    ]
    for step, share in enumerate(SHARES):
        fill(desk, trials, share)
        if step == 0:
            trials = [
                sorted(each, key=lambda trial: trial.promise, reverse=True)[:finalists]
                for each in trials
            ]
    question_neighbours(desk, trials)
    question_ends(desk, trials)
    return trials


def in_rows(trials: Trials) -> list[list[Trial]]:
    """A row for each length; a hole with fewer to try stands at its last meanwhile."""
    count = max(map(len, trials))
    return [[each[min(r, len(each) - 1)] for each in trials] for r in range(count)]


def asked(
    desk: Desk, trials: Trials, hidden: Sequence[int] = (), more: int = 0
) -> Iterator[tuple[Trial, range, dict[int, Said]]]:
    """Each trial once, with where its hole lies and what the model says in its row."""
    rows = in_rows(trials)
    masks = [desk.mask_id] * more
    answers = desk.ask([[each.inside + masks for each in row] for row in rows], hidden)
    for k, (spot, each) in enumerate(zip(desk.spots, trials, strict=True)):
        for r in range(len(each)):
            yield rows[r][k], spot, answers[r]


def fill(desk: Desk, trials: Trials, share: float) -> None:
    """That share of each trial's masks, the surest first, takes its likeliest tokens."""
    if not any(desk.mask_id in trial.inside for each in trials for trial in each):
        return
    for trial, spot, answers in asked(desk, trials):
        left = [i for i, token in enumerate(trial.inside) if token == desk.mask_id]
        left.sort(key=lambda i: answers[spot.start + i].sure, reverse=True)
        said = [answers[spot.start + i] for i in left]
        trial.outlook = trial.sure + sum(each.sure for each in said)
        count = min(len(left), max(1, round(share * len(left))))
        for i, each in zip(left[:count], said[:count], strict=True):
            trial.inside[i] = each.token
            trial.sure += each.sure


def question_neighbours(desk: Desk, trials: Trials) -> None:
    """How well a trial's text explains what stands on both sides of the hole."""
    around = [neighbours(desk, spot) for spot in desk.spots]
    places = dict(zip(desk.spots, around, strict=True))
    hidden = sorted({place for each in around for place in each})
    if not hidden:
        return
    for trial, spot, answers in asked(desk, trials, hidden):
        trial.around = sum(answers[place].there for place in places[spot])


def neighbours(desk: Desk, spot: range) -> list[int]:
    """Places of text beside a hole. The begin token is none."""
    row = desk.row
    near = (
        *range(max(1, spot.start - BEFORE), spot.start),
        *range(spot.stop, min(len(row), spot.stop + AFTER)),
    )
    return [place for place in near if row[place] != desk.mask_id]


def question_ends(desk: Desk, trials: Trials) -> None:
    """Whether the model would end the hole after a trial's text."""
    for trial, spot, answers in asked(desk, trials, more=MORE):
        trial.nothing = answers[spot.start + len(trial.inside)].nothing
