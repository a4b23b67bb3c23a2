"""`textDocument/inlineCompletion`: from a keystroke to items, or to a reason for none.

Nothing here raises to the editor and nothing pops up: whatever goes wrong means no item, a
reason code and at most a line in the log. Must not know how the daemon is reached.
"""

from __future__ import annotations

import asyncio

from dlmd.wire.protocol import hole
from lsprotocol import types

from dlmd_lsp import context, document
from dlmd_lsp.around.extras import gathered
from dlmd_lsp.ask.gate import refusal
from dlmd_lsp.ask.reasons import Reason
from dlmd_lsp.context import Ask
from dlmd_lsp.editor import Editor
from dlmd_lsp.flight import Flight
from dlmd_lsp.lines import line_ending
from dlmd_lsp.session import Sent
from dlmd_lsp.show import choose
from dlmd_lsp.show.items import Items, items_of
from dlmd_lsp.show.offer import Offer, Place

Found = tuple[Offer, list[choose.Rest]]  # and what of it is left to be shown


async def complete(editor: Editor, params: types.InlineCompletionParams) -> Items:
    uri = params.text_document.uri
    invoked = types.InlineCompletionTriggerKind.Invoked
    manual = params.context.trigger_kind == invoked
    text = document.find(editor.workspace, uri)
    if text is None:
        editor.session.because(uri, "not-open")
        return []
    menu = params.context.selected_completion_info is not None
    refused = refusal(text, editor.session.options, manual=manual, menu=menu)
    if refused is not None and refused != "manual":
        return nothing(editor, uri, refused)
    offset = text.offset(params.position)
    found = remembered(editor, text, offset, manual)
    again = found is not None
    if sent_away(editor, uri, found, manual):
        return nothing(editor, uri, "dismissed")
    if refused is not None:
        # What somebody asked for and sees stays while they type it.
        if found is None or not seen(editor, uri, found[0]):
            return nothing(editor, uri, refused)
    elif found is None:
        found = await asked(editor, text, offset, params.position, manual)
    if found is None:
        return []
    return told(editor, text, params.position, found, manual, again)


def nothing(editor: Editor, uri: str, reason: Reason) -> Items:
    """No item, because of that; what was under way for another place ends too."""
    editor.session.because(uri, reason)
    if uri in editor.flights:
        editor.flights[uri].drop()
    return []


def remembered(
    editor: Editor, text: document.Document, offset: int, manual: bool
) -> Found | None:
    """The last offer, where some of it is left and nothing better was asked for.

    Whoever asks by hand in front of a suggestion wants others; elsewhere what is left of one,
    or what waited for the key, is what was meant.
    """
    about = editor.session.about(text.uri)
    offer = about.offer
    if offer is None:
        return None
    if manual and not offer.manual and about.shown == (offer.id, text.version):
        return None
    return some(offer, text, offset)


def sent_away(editor: Editor, uri: str, found: Found | None, manual: bool) -> bool:
    """Whether what is left of the last offer was dismissed, and nothing else typed since."""
    about = editor.session.about(uri)
    if manual or found is None:
        about.dismissed = ""
    return found is not None and about.dismissed == found[0].id


def seen(editor: Editor, uri: str, offer: Offer) -> bool:
    return editor.session.about(uri).shown[0] == offer.id


def some(offer: Offer, text: document.Document, offset: int) -> Found | None:
    rest = choose.left(offer, text, offset)
    return (offer, rest) if rest else None


async def asked(
    editor: Editor,
    text: document.Document,
    offset: int,
    position: types.Position,
    manual: bool,
) -> Found | None:
    """A new offer: by joining what is under way, or by a request after a pause."""
    uri, version = text.uri, text.version or 0
    flight: Flight | None = editor.flights.get(uri)
    joined = flight if not manual else None
    if joined is not None and joined.join(text.source, offset, version, position):
        offer = await landed(editor, text, version, joined)
        found = None if offer is None else some(offer, text, offset)
        if offer is None or found is not None:
            return found
        # What was typed left no room in that hole, or went another way.
        flight = None
    if flight is not None:
        flight.drop()
    ask = planned(editor, text, offset, manual)
    if not isinstance(ask, Ask):
        nothing(editor, uri, ask)
        return None
    if not manual and not await rested(editor, text, version, ask):
        editor.session.because(uri, "typed-on")
        return None
    flight = launched(editor, text, offset, position, ask, manual)
    offer = await landed(editor, text, version, flight)
    return None if offer is None else some(offer, text, offset)


async def landed(
    editor: Editor, text: document.Document, version: int, flight: Flight
) -> Offer | None:
    """What a request brought; whoever leaves before leaves it to be joined."""
    joins = flight.joins
    try:
        offer = await asyncio.shield(flight.answer)
    except asyncio.CancelledError:
        if flight.answer.cancelled():
            return None  # it failed or was dropped, and said why
        if flight.joins == joins:  # else a newer request has joined it
            flight.leave()
        raise
    if text.version != version:
        editor.session.because(text.uri, "typed-on")
        return None
    return offer


def planned(
    editor: Editor, text: document.Document, offset: int, manual: bool
) -> Ask | Reason:
    options = editor.session.options
    place = text.place(offset)
    if not manual and place.inside == "comment" and not options.in_comments:
        return "in-comment"
    if not manual and place.inside == "string" and not options.in_strings:
        return "in-string"
    return context.plan(
        text.source,
        offset,
        manual=manual,
        ending=line_ending(text.source),
        budget=options.budget,
        place=place,
        scale=editor.session.about(text.uri).scale,
        context=editor.session.link.context,
    )


async def rested(
    editor: Editor, text: document.Document, version: int, ask: Ask
) -> bool:
    """Wait as long as this typist pauses; whether the document stayed as it was."""
    session = editor.session
    wait = session.options.debounce_s
    if wait is None:
        line = ask.before.rpartition("\n")[2]
        wait = session.pace.wait_s(line_start=not line.strip())
    if wait:
        await asyncio.sleep(wait)
    return text.version == version


def launched(
    editor: Editor,
    text: document.Document,
    offset: int,
    position: types.Position,
    ask: Ask,
    manual: bool,
) -> Flight:
    session, uri = editor.session, text.uri
    found = gathered(editor, text, offset, ask)
    hole_of = hole(max_tokens=ask.tokens)
    parts = [part for part in (found.before, hole_of, found.after) if part != ""]
    place = Place(text=text.source, offset=offset)
    flight = Flight(editor, uri, text.version or 0, place, ask)
    sent = Sent(id=flight.id, uri=uri, parts=parts, others=found.others)
    session.sent[uri] = sent
    session.statistics.count("asked", text.language.name)
    others = session.options.candidates - 1 if manual else 0
    known = on_screen(editor, text, offset) if others else None
    flight.begin(position, sent, manual=manual, others=others, known=known)
    return flight


def on_screen(
    editor: Editor, text: document.Document, offset: int
) -> choose.Rest | None:
    """The suggestion that somebody looks at who asks for others."""
    about = editor.session.about(text.uri)
    if about.offer is None or about.shown != (about.offer.id, text.version):
        return None
    found = some(about.offer, text, offset)
    return None if found is None else found[1][0]


def told(
    editor: Editor,
    text: document.Document,
    position: types.Position,
    found: Found,
    manual: bool,
    again: bool,
) -> Items:
    session, uri = editor.session, text.uri
    offer, rest = found
    about, letters = session.about(uri), len(rest[0][0])
    session.statistics.offered(offer.id, text.language.name, letters, again=again)
    hidden = not manual and not seen(editor, uri, offer)
    if session.options.trigger == "subtle" and hidden:
        session.because(uri, "waiting-for-key")
        editor.protocol.notify(
            "dlmd/waiting",
            {"uri": uri, "version": text.version, "position": position, "id": offer.id},
        )
        return []
    about.reason, about.shown = None, (offer.id, text.version or 0)
    return items_of(offer.id, rest, position)
