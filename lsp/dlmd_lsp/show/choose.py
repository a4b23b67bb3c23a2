"""From the fills of a hole to an offer, or to the reason why none is worth showing.

Must not know the daemon or the clock.
"""

from __future__ import annotations

from dlmd_lsp.ask.reasons import Reason
from dlmd_lsp.context import Ask, fitted
from dlmd_lsp.document import Document
from dlmd_lsp.options import Options
from dlmd_lsp.show.loops import before_loop, is_loop
from dlmd_lsp.show.offer import Offer, Place
from dlmd_lsp.show.parses import without_breaking
from dlmd_lsp.show.sureness import Sure, mean, sure_lines

Answer = list[tuple[str, Sure]]
Rest = tuple[str, tuple[float, ...]]


def offer(
    id: str,
    place: Place,
    ask: Ask,
    answer: Answer,
    document: Document,
    options: Options,
    manual: bool,
) -> Offer | Reason:
    """The candidates that are worth it, each once: the model's own choice, then the others,
    the surest first; what goes in a circle comes last."""
    found: dict[str, Sure] = {}
    why: Reason = "nothing-new"
    for hole, sure in answer:
        text, said = worth(place, ask, hole, sure, document, options, manual)
        if text:
            found.setdefault(text, sure)
        else:
            why = said
    if not found:
        return why
    first, *others = found
    others.sort(key=lambda text: -(mean(found[text], text) or 0.0))
    texts = sorted([first, *others], key=is_loop) if manual else [first]
    return Offer(
        id=id,
        place=place,
        texts=tuple(text.replace("\n", ask.ending) for text in texts),
        sure=tuple(_spread(text, found[text], ask.ending) for text in texts),
        manual=manual,
    )


def behind(known: Rest, id: str, place: Place, found: Offer | Reason) -> Offer:
    """What is on the screen, and the others that were asked for in front of it."""
    texts, sure = [known[0]], [known[1]]
    if isinstance(found, Offer):
        for text, numbers in zip(found.texts, found.sure, strict=True):
            if text not in texts:
                texts.append(text)
                sure.append(numbers)
    return Offer(id=id, place=place, texts=tuple(texts), sure=tuple(sure), manual=True)


def worth(
    place: Place,
    ask: Ask,
    hole: str,
    sure: Sure,
    document: Document,
    options: Options,
    manual: bool,
) -> tuple[str, Reason]:
    text = fitted(ask, hole)
    if not text:
        return "", "nothing-new"
    if not manual:
        text = before_loop(text)
        if not text.strip():
            return "", "loop"
        text = sure_lines(text, sure, options.threshold)
        known = mean(sure, text)
        if known is not None and known < options.threshold:
            return "", "not-sure"
    if document.source != place.text:
        return text, "not-parsable"  # joined by typing: judged where it is shown
    insert = text.replace("\n", ask.ending)
    whole = _whole(document, place.offset, insert).replace(ask.ending, "\n")
    return whole if whole.strip() else "", "not-parsable"


def left(offered: Offer, document: Document, offset: int) -> list[Rest]:
    """What is left of an offer in the document as it is now, and does not break it."""
    rest = offered.rest(document.source, offset)
    if document.source == offered.place.text:
        return rest
    judged = [(_whole(document, offset, text), sure) for text, sure in rest]
    return [(text, sure) for text, sure in judged if text.strip()]


def _whole(document: Document, offset: int, insert: str) -> str:
    if document.language.name == "python":
        # Python reads statements, and a window may end in the middle of one.
        return without_breaking(document.source, offset, insert, document.tree)
    window = document.window(offset)
    text, at = window.text(document.source), offset - window.start
    return without_breaking(text, at, insert, window.tree)


def _spread(text: str, sure: Sure, ending: str) -> tuple[float, ...]:
    """The numbers of letters, with one for each letter of a longer line ending."""
    if ending == "\n" or not sure:
        return tuple(sure[: len(text)])
    told: list[float] = []
    for letter, number in zip(text, sure, strict=False):
        told += [number] * (len(ending) if letter == "\n" else 1)
    return tuple(told)
