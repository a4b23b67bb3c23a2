"""The language server: one thin handler per method, over functions that know no pygls.

`main()` serves stdio. Importing this loads no torch and no grammar. Must not know positions,
holes or the daemon's socket: those are document.py, context.py and link.py.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from time import monotonic
from typing import Any

from dlmd.wire import discovery
from lsprotocol import types

from dlmd_lsp import actions, completion, document, inline, options, tuned
from dlmd_lsp.around import sent
from dlmd_lsp.ask.gate import refusal, told
from dlmd_lsp.ask.reasons import sentence
from dlmd_lsp.commands import arguments, work, write
from dlmd_lsp.context import Ask
from dlmd_lsp.editor import Editor, quiet_logging
from dlmd_lsp.link import Link
from dlmd_lsp.session import Session

server = Editor()
Outcome = dict[str, Any]


@server.feature(types.INITIALIZE)
def initialize(ls: Editor, params: types.InitializeParams) -> None:
    document.adopt(ls.workspace)
    chosen, ls.complaints = options.read(params.initialization_options)
    link = Link(
        start=chosen.start_daemon,
        command=chosen.daemon_command,
        daemon=chosen.daemon,
        say=ls.log,
        tell=ls.tell_status,
    )
    ls.session = Session(chosen, link)
    ls.session.statistics.wanted = chosen.statistics
    able = params.capabilities.text_document
    if able is None or able.inline_completion is None:
        completion.offer(ls)
        actions.offer(ls)


@server.feature(types.INITIALIZED)
async def initialized(ls: Editor, params: types.InitializedParams) -> None:
    for complaint in ls.complaints:
        ls.log(complaint, types.MessageType.Warning)
    await configure(ls)
    tuned.prepare()


@server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
async def did_change_configuration(
    ls: Editor, params: types.DidChangeConfigurationParams
) -> None:
    given = params.settings
    section = given.get("dlmd") if isinstance(given, dict) else None
    if section is not None:
        adopt(ls, section)
    else:
        await configure(ls)


async def configure(ls: Editor) -> None:
    """Ask the editor for its section `dlmd`, where it can be asked."""
    able = ls.client_capabilities.workspace
    if able is None or not able.configuration:
        return
    asked = types.ConfigurationParams([types.ConfigurationItem(section="dlmd")])
    found = await ls.workspace_configuration_async(asked)
    if found and isinstance(found[0], dict) and found[0]:
        adopt(ls, found[0])


def adopt(ls: Editor, section: object) -> None:
    """New settings; which daemon, a repository's settings may not say."""
    chosen, complaints = options.read(section)
    before = ls.session.options
    ls.session.options = replace(
        chosen,
        start_daemon=before.start_daemon,
        daemon_command=before.daemon_command,
        daemon=before.daemon,
    )
    ls.session.statistics.wanted = chosen.statistics
    for complaint in complaints:
        ls.log(complaint, types.MessageType.Warning)


@server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
async def inline_completion(
    ls: Editor, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    uri = params.text_document.uri
    try:
        items = await ls.session.newest("inline", uri, inline.complete(ls, params))
    except Exception as error:
        # Typing must never meet an error; a fault of ours goes to the log.
        ls.session.because(uri, "internal", f"{type(error).__name__}: {error}")
        ls.log_once(f"internal error: {type(error).__name__}: {error}")
        items = None
    return types.InlineCompletionList(items=items or [])


@server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
def did_change(ls: Editor, params: types.DidChangeTextDocumentParams) -> None:
    text = document.find(ls.workspace, params.text_document.uri)
    if text is None:
        return
    ls.session.pace.typed(monotonic())
    ls.edited(text)
    if text.uri in ls.flights:
        ls.flights[text.uri].changed(text.source, text.edited_to)
    if text.uri in ls.works:
        ls.works[text.uri].ask_for("moved")


@server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
def did_close(ls: Editor, params: types.DidCloseTextDocumentParams) -> None:
    uri = params.text_document.uri
    ls.session.closed(uri)
    if uri in ls.flights:
        ls.flights[uri].drop()
    for kept in (ls.dones, ls.extras):
        kept.pop(uri, None)


@server.feature("dlmd/viewed")
def viewed(ls: Editor, params: Any) -> None:
    text = document.find(ls.workspace, params.uri)
    if text is not None:
        first, last = params.range.start.line, params.range.end.line
        ls.remember(text, max(0, first), last, "viewed")


@server.feature(types.SHUTDOWN)
async def shutdown(ls: Editor, *_: Any) -> None:
    for flight in list(ls.flights.values()):
        flight.drop()
    ls.session.statistics.save()
    await ls.session.link.close()


async def _write(ls: Editor, name: str, given: tuple[Any, ...]) -> Outcome:
    """A command that writes; what goes wrong is shown, because somebody asked for it."""
    ls.heed_cancel(asyncio.current_task())
    try:
        asked = arguments.read(name, given)
        text = arguments.opened(ls, asked)
        budget = ls.session.options.budget
        if name == "dlmd.completeFunction":
            made = write.function(text, asked, budget)
        elif name == "dlmd.fillHoles":
            made = write.holes(text, asked, budget, ls.session.link.context)
        elif name == "dlmd.rewrite":
            made = write.rewrite(text, asked)
        else:
            made = write.repair(text, asked)
        return await work.outcome(ls, made)
    except work.ERRORS as error:
        ls.show(str(error))
        return {"applied": False, "reason": str(error)}


@server.command("dlmd.completeFunction")
async def complete_function(ls: Editor, *given: Any) -> Outcome:
    outcome = await _write(ls, "dlmd.completeFunction", given)
    outcome.pop("changed", None)
    return outcome


@server.command("dlmd.fillHoles")
async def fill_holes(ls: Editor, *given: Any) -> Outcome:
    outcome = await _write(ls, "dlmd.fillHoles", given)
    holes = outcome.pop("changed", 0)
    return {**outcome, "holes": holes}


@server.command("dlmd.rewrite")
async def rewrite(ls: Editor, *given: Any) -> Outcome:
    return await _write(ls, "dlmd.rewrite", given)


@server.command("dlmd.repair")
async def repair(ls: Editor, *given: Any) -> Outcome:
    return {"changed": 0, **await _write(ls, "dlmd.repair", given)}


@server.command("dlmd.stopAndKeep")
def stop_and_keep(ls: Editor, *given: Any) -> Outcome:
    found = ls.works.get(_uri(given))
    if found is not None:
        found.ask_for("stop")
    return {"stopped": found is not None}


@server.command("dlmd.longer")
async def longer(ls: Editor, *given: Any) -> Outcome:
    return await _again(ls, _uri(given), work.STEP)


@server.command("dlmd.shorter")
async def shorter(ls: Editor, *given: Any) -> Outcome:
    return await _again(ls, _uri(given), 1 / work.STEP)


async def _again(ls: Editor, uri: str, factor: float) -> Outcome:
    running = ls.works.get(uri)
    if running is not None:
        running.ask_for("again", factor)
        return {"again": True, "ask": False}
    text = document.find(ls.workspace, uri)
    if text is None:
        return {"again": False, "ask": False}
    repeated = work.repeated(ls, text, factor)
    if repeated is None:
        about = ls.session.about(uri)
        about.scale, about.offer = max(0.2, min(8.0, about.scale * factor)), None
        return {"again": True, "ask": True}
    try:
        outcome = await work.outcome(ls, repeated)
    except work.ERRORS as error:
        ls.show(str(error))
        return {"again": False, "ask": False, "reason": str(error)}
    return {"again": bool(outcome["applied"]), "ask": False}


@server.command("dlmd.accepted")
def accepted(ls: Editor, *given: Any) -> None:
    about = _object(given)
    letters = about.get("characters")
    if letters is None and about.get("part") in ("word", "line", "confident"):
        letters = about.get(about["part"])
    count = letters if type(letters) is int and letters >= 0 else None
    ls.session.statistics.event("accepted", str(about.get("id", "")), count)


@server.command("dlmd.shown")
def shown(ls: Editor, *given: Any) -> None:
    ls.session.statistics.event("shown", str(_object(given).get("id", "")))


@server.command("dlmd.rejected")
def rejected(ls: Editor, *given: Any) -> None:
    about = _object(given)
    id = str(about.get("id", ""))
    ls.session.statistics.event("rejected", id)
    if about.get("dismissed") is True:
        ls.session.dismiss(id)


@server.command("dlmd.whyNot")
def why_not(ls: Editor, *given: Any) -> Outcome:
    """What stands in the way at a place now, else why nothing came of the last request."""
    about, uri = _object(given), _uri(given)
    text = document.find(ls.workspace, uri)
    if text is None:
        return {"code": "not-open", "message": sentence("not-open")}
    now = refusal(text, ls.session.options, manual=False)
    if now is None and about.get("position"):
        place = arguments.read("dlmd.whyNot", given).position
        assert place is not None
        found = inline.planned(ls, text, text.offset(place), False)
        now = None if isinstance(found, Ask) else found
    if now is not None:
        return {"code": now, "message": told(text, now)}
    why: Outcome = ls.session.why_not(uri)
    if why["code"] is None and ls.status.get("phase") in ("starting", "loading"):
        why["message"] = f"not ready yet: {ls.status['message']}; then it comes"
    return why


@server.command("dlmd.whatWasSent")
def what_was_sent(ls: Editor, *given: Any) -> Outcome:
    uri = _object(given).get("uri")
    requests = ls.session.sent
    if uri is None and requests:
        uri = list(requests)[-1]
    return sent.told(requests.get(str(uri)))


@server.command("dlmd.status")
def status(ls: Editor, *_: Any) -> Outcome:
    return {**ls.status, "version": discovery.version(), "pid": os.getpid()}


def _object(given: tuple[Any, ...]) -> dict[str, Any]:
    return given[0] if given and isinstance(given[0], dict) else {}


def _uri(given: tuple[Any, ...]) -> str:
    first = given[0] if given else None
    return first if isinstance(first, str) else str(_object(given).get("uri", ""))


def main() -> None:
    """Serve the editor at the other end of stdin and stdout until it leaves."""
    quiet_logging()
    server.start_io()
