"""People typing, simulated: what is asked, what is shown, and that nothing shown is wrong.

`python bench/typing_runs.py [--runs 500] [--real 0]`: takes real files, cuts a place out, and types
it again letter by letter with a person's rhythm, pauses, slips and accepts, through the very
handlers that an editor talks to. Virtual: the clock is ours and the model a fake that knows the
text, slowly and not always rightly. Real (`--real 20`): the same in real time against the
embedded model in a daemon of its own. Counted: requests, suggestions shown and reused for each
keystroke; looked for: a suggestion for another text than the one on the screen, a repeated
suffix, Python that no longer parses. Exit 1 when one is found. Must not know how it is decided.
"""

import argparse
import ast
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("daemon", "lsp", ".")]

from dlmd_lsp import document, options  # noqa: E402
from dlmd_lsp import server as lsp  # noqa: E402
from dlmd_lsp.editor import Editor  # noqa: E402
from dlmd_lsp.link import Link  # noqa: E402
from dlmd_lsp.session import Session  # noqa: E402
from lsprotocol import types  # noqa: E402
from pygls.workspace import Workspace  # noqa: E402

from bench.typing_stage import FakeLink, Model, VirtualLoop  # noqa: E402

GAP_S = (0.05, 0.35)  # between two keystrokes
THINKS, SLIPS, ACCEPTS, LOOKS_S = 0.06, 0.03, 0.3, 0.4


class Typist:
    """One person, one document: what they type, what they see, what they take."""

    def __init__(
        self, editor: Editor, chance: random.Random, counts: Counter[str]
    ) -> None:
        self.editor, self.chance, self.counts = editor, chance, counts
        self.version, self.text, self.offset = 1, "", 0
        self.faults: list[str] = []
        self.asking: asyncio.Task[None] | None = None
        self.seen: str | None = None  # the suggestion on the screen, for this very text

    def open(self, uri: str, language: str, text: str, offset: int) -> None:
        self.uri, self.text, self.offset = uri, text, offset
        item = types.TextDocumentItem(uri, language, 1, text)
        self.editor.workspace.put_text_document(item)

    @property
    def found(self) -> document.Document:
        text = document.find(self.editor.workspace, self.uri)
        assert text is not None
        return text

    def change(self, start: int, end: int, new: str) -> None:
        self.seen = None
        self.version += 1
        span = self.found.span(start, end)
        self.text = self.text[:start] + new + self.text[end:]
        self.offset = start + len(new)
        ident = types.VersionedTextDocumentIdentifier(self.version, self.uri)
        change = types.TextDocumentContentChangePartial(span, new)
        self.editor.workspace.update_text_document(ident, change)
        lsp.did_change(self.editor, types.DidChangeTextDocumentParams(ident, [change]))
        self.ask()

    def ask(self) -> None:
        if self.asking is not None:
            self.asking.cancel()  # what editors do: $/cancelRequest, then the new request
        self.counts["asked"] += 1
        self.asking = asyncio.create_task(self._answer())

    async def _answer(self) -> None:
        version, text, offset = self.version, self.text, self.offset
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
            types.TextDocumentIdentifier(self.uri),
            self.found.position(offset),
        )
        before = self.editor.session.statistics.reused
        answer = await lsp.inline_completion(self.editor, params)
        if not answer.items:
            return
        if version != self.version:
            # An editor drops this; a server that sends it is one race from a stale sight.
            self.faults.append("an answer came for a text that was gone")
            return
        self.counts["shown"] += 1
        self.counts["reused"] += self.editor.session.statistics.reused - before
        self.seen = str(answer.items[0].insert_text)
        self.judge(text, offset, self.seen)

    def judge(self, text: str, offset: int, insert: str) -> None:
        line = text[offset:].split("\n", 1)[0].strip()
        if line and insert.rstrip().endswith(line) and not line[0].isalnum():
            self.faults.append(f"{insert!r} repeats {line!r}")
        below = [row.rstrip() for row in text[offset:].split("\n")[1:] if row.strip()]
        last = (
            insert.rstrip().rpartition("\n")[2]
            if "\n" in insert
            else text[:offset].rpartition("\n")[2] + insert
        )
        if not line and below and last.strip() and last.rstrip() == below[0]:
            self.faults.append(f"{insert!r} repeats the line below")
        if self.found.language.name == "python" and parses(text):
            self.counts["parsed before"] += 1
            if not parses(text[:offset] + insert + text[offset:]):
                self.faults.append(f"{insert!r} breaks the file")


def parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


async def typed(
    typist: Typist, wanted: str, model: Model | None, patience_s: float
) -> None:
    """Until what was wanted stands there, by hand or by taking what is offered."""
    chance, start = typist.chance, typist.offset
    while True:
        done = typist.text[start : typist.offset]
        left = wanted[len(done) :] if wanted.startswith(done) else ""
        if not left:
            break
        if model is not None:
            model.rest = left
        seen = typist.seen
        if seen and left.startswith(seen) and chance.random() < ACCEPTS:
            typist.counts["accepted"] += 1
            typist.counts["letters taken"] += len(seen)
            typist.change(typist.offset, typist.offset, seen)
            continue
        if chance.random() < SLIPS:
            typist.counts["keys"] += 2
            typist.change(typist.offset, typist.offset, chance.choice("qxz("))
            await asyncio.sleep(chance.uniform(*GAP_S))
            typist.change(typist.offset - 1, typist.offset, "")
        else:
            typist.counts["keys"] += 1
            typist.change(typist.offset, typist.offset, left[0])
        thinking = chance.random() < THINKS
        await asyncio.sleep(
            LOOKS_S + patience_s if thinking else chance.uniform(*GAP_S)
        )
    await asyncio.sleep(LOOKS_S + patience_s)


LANGUAGES = {".py": "python", ".ts": "typescript", ".lua": "lua", ".js": "javascript"}


def places(chance: random.Random, count: int) -> Iterator[tuple[Path, str, int, str]]:
    """Files of this repository with a stretch cut out, to be typed again."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [
        ROOT / name
        for name in listed.stdout.splitlines()
        if Path(name).suffix in LANGUAGES and (ROOT / name).exists()
    ]
    while count:
        file = chance.choice(files)
        text = file.read_text(encoding="utf-8", errors="replace")
        rows = text.splitlines(True)
        if not 10 < len(rows) < 800:
            continue
        row = chance.randrange(5, len(rows) - 3)
        size = chance.choice([1, 1, 1, 2, 3])
        start = sum(map(len, rows[:row]))
        line = rows[row]
        # From the line's beginning, from its words on, or a piece in its middle.
        start += chance.choice([0, len(line) - len(line.lstrip()), len(line) // 2])
        end = sum(map(len, rows[: row + size])) - 1
        if chance.random() < 0.3:
            end = min(end, start + chance.randrange(4, 20))
        wanted = text[start:end]
        if wanted.strip() and len(wanted) < 160:
            count -= 1
            yield file, text[:start] + text[end:], start, wanted


def an_editor(link: Link) -> Editor:
    editor = Editor()
    editor.protocol._workspace = Workspace(None)
    document.adopt(editor.workspace)
    editor.protocol.notify = lambda *_: None  # type: ignore[method-assign]
    editor.session = Session(options.Options(statistics=False), link)
    return editor


def a_link(cls: type[Link]) -> Any:
    return cls(
        start=False, command=None, daemon=None, say=lambda _: None, tell=lambda _: None
    )


async def run(
    number: int,
    place: tuple[Path, str, int, str],
    link: Any,
    model: Model | None,
    counts: Counter[str],
    patience_s: float,
) -> list[str]:
    file, text, offset, wanted = place
    chance = random.Random(number)
    typist = Typist(an_editor(link), chance, counts)
    uri = f"file:///typing/{number}/{file.name}"
    typist.open(uri, LANGUAGES[file.suffix], text, offset)
    await typed(typist, wanted, model, patience_s)
    if typist.asking is not None:
        typist.asking.cancel()
        await asyncio.wait([typist.asking])
    for flight in list(typist.editor.flights.values()):
        flight.drop()
    counts["runs"] += 1
    return [f"{file.name}, run {number}: {fault}" for fault in typist.faults]


def virtual(runs: int, seed: int) -> tuple[Counter[str], list[str]]:
    counts, faults = Counter[str](), list[str]()
    import dlmd_lsp.server as handlers

    for number, place in enumerate(places(random.Random(seed), runs)):
        loop = VirtualLoop()
        handlers.monotonic = loop.time  # type: ignore[attr-defined]
        model = Model(random.Random(seed + number))
        link = a_link(FakeLink)
        link.model = model
        with contextlib.closing(loop):
            faults += loop.run_until_complete(
                run(number, place, link, model, counts, 0.0)
            )
            counts["simulated s"] += round(loop.now)
        counts["requests"] += model.requests
        counts["cancelled"] += model.cancelled
    return counts, faults


async def real(runs: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Against the embedded model, in a daemon of its own."""
    from tests.fakes.running import daemon

    counts, faults = Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        argv = (
            sys.executable,
            "-m",
            "dlmd",
            "serve",
            "--model",
            "embedded",
            "--device",
            "cpu",
        )
        os.environ |= {
            "DLMD_RUNTIME_DIR": folder,
            "DLMD_CONFIG_DIR": folder,
            "DLMD_STATE_DIR": folder,
        }
        with daemon(Path(folder), argv=argv):
            for number, place in enumerate(places(random.Random(seed), runs)):
                # A person's editor has a connection of its own, and its own ids on it.
                link = a_link(Link)
                client = await link.client(explicit=True)
                while client.status.phase == "loading":
                    await asyncio.sleep(0.1)
                faults += await run(number, place, link, None, counts, 0.5)
                await link.close()
    return counts, faults


def told(counts: Counter[str]) -> dict[str, Any]:
    keys = max(1, counts["keys"])
    rates = {
        "shown_rate": round(counts["shown"] / max(1, counts["asked"]), 3),
        "reuse_rate": round(counts["reused"] / max(1, counts["shown"]), 3),
    }
    if counts["requests"]:
        rates["requests_per_keystroke"] = round(counts["requests"] / keys, 3)
    return {**dict(sorted(counts.items())), **rates}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument(
        "--real", type=int, default=0, help="so many runs, in real time"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.perf_counter()
    if given.real:
        counts, faults = asyncio.run(real(given.real, given.seed))
    else:
        counts, faults = virtual(given.runs, given.seed)
    report = told(counts) | {
        "faults": len(faults),
        "took_s": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(report, indent=2))
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
