"""How often a suggestion is right, by how sure the model must be for it to be shown.

`python bench/threshold.py [--places 400] [--seconds 600]`: cuts places out of this repository's files, types a
part of each again, and asks the embedded model, in a daemon of its own, once at each, by the
language server's own functions for what to ask and what to show. Then the same answers are
judged at each threshold: how many are shown, and how many of those hold nothing but what
really stood there (`right`), all of its line too (`exact`), or begin with its word. Must not
know how the model decides.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("daemon", "lsp", ".")]

from dlmd.wire.protocol import Result, State, hole  # noqa: E402
from dlmd_lsp import inline  # noqa: E402
from dlmd_lsp.around.extras import gathered  # noqa: E402
from dlmd_lsp.context import Ask  # noqa: E402
from dlmd_lsp.editor import Editor  # noqa: E402
from dlmd_lsp.flight import sureness  # noqa: E402
from dlmd_lsp.link import Link  # noqa: E402
from dlmd_lsp.show import choose  # noqa: E402
from dlmd_lsp.show.offer import Offer, Place  # noqa: E402
from dlmd_lsp.show.sureness import first_word  # noqa: E402

from bench.typing_runs import LANGUAGES, Typist, a_link, an_editor, places  # noqa: E402
from tests.fakes.running import daemon  # noqa: E402

GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MODEL = ("serve", "--model", "embedded", "--device", "cpu")
Judged = list[tuple[float, str, str]]  # threshold, what is shown, what stood there


async def asked(
    editor: Editor, number: int, file: Path, text: str, offset: int, truth: str
) -> Judged:
    """What would be shown at one place, at each threshold."""
    typist = Typist(editor, random.Random(0), Counter())
    uri = f"file:///typing/{number}/{file.name}"
    typist.open(uri, LANGUAGES[file.suffix], text, offset)
    document = typist.found
    ask = inline.planned(editor, document, offset, False)
    if not isinstance(ask, Ask):
        return []
    around = gathered(editor, document, offset, ask)
    parts = [
        part
        for part in (around.before, hole(max_tokens=ask.tokens), around.after)
        if part != ""
    ]
    session, id, last = editor.session, editor.session.new_id(), None
    async for message in session.infill(id, parts, explicit=True, file=""):
        if isinstance(message, State):
            last = message
        if isinstance(message, Result):
            filled = message.candidates[0].holes[0]
    answer = [(filled, sureness(filled, last))]
    place, judged = Place(text=text, offset=offset), []
    for threshold in GRID:
        options = replace(session.options, threshold=threshold)
        found = choose.offer(id, place, ask, answer, document, options, False)
        shown = found.texts[0] if isinstance(found, Offer) else ""
        judged.append((threshold, shown, truth))
    return judged


async def measured(count: int, seed: int, limit_s: float) -> list[Judged]:
    chance, told = random.Random(seed), []
    end = time.monotonic() + limit_s
    with tempfile.TemporaryDirectory() as folder:
        names = ("DLMD_RUNTIME_DIR", "DLMD_CONFIG_DIR", "DLMD_STATE_DIR")
        os.environ |= dict.fromkeys(names, folder)
        with daemon(Path(folder), argv=(sys.executable, "-m", "dlmd", *MODEL)):
            link = a_link(Link)
            client = await link.client(explicit=True)
            while client.status.phase == "loading":
                await asyncio.sleep(0.1)
            editor = an_editor(link)
            for number, place in enumerate(places(chance, count)):
                if time.monotonic() > end:
                    break
                file, text, offset, wanted = place
                typed = chance.randrange(len(wanted))
                now = text[:offset] + wanted[:typed] + text[offset:]
                truth = wanted[typed:] + text[offset:]
                told.append(
                    await asked(editor, number, file, now, offset + typed, truth)
                )
            await link.close()
    return [judged for judged in told if judged]


def table(told: list[Judged]) -> list[dict[str, Any]]:
    rows = []
    for column, threshold in enumerate(GRID):
        shown = [judged[column][1:] for judged in told if judged[column][1]]
        counts = Counter[str]()
        for text, truth in shown:
            lines = text.count("\n") + 1
            whole = "\n".join(truth.split("\n")[:lines])
            counts["right"] += truth.startswith(text)
            counts["exact"] += text.rstrip() == whole.rstrip()
            counts["first word"] += truth.startswith(text[: first_word(text)])
            counts["letters right"] += len(text) * truth.startswith(text)
        number = max(1, len(shown))
        rows.append(
            {
                "threshold": threshold,
                "shown": len(shown),
                "shown %": round(100 * len(shown) / max(1, len(told)), 1),
                "right %": round(100 * counts["right"] / number, 1),
                "exact %": round(100 * counts["exact"] / number, 1),
                "first word %": round(100 * counts["first word"] / number, 1),
                "letters right": counts["letters right"],
            }
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--places", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--add", type=Path, help="a file to gather several runs in")
    given = parser.parse_args()
    told = asyncio.run(measured(given.places, given.seed, given.seconds))
    if given.add is not None:  # to what earlier runs asked
        before = json.loads(given.add.read_text()) if given.add.exists() else []
        told = [*before, *told]
        given.add.write_text(json.dumps(told))
    print(json.dumps({"asked": len(told), "table": table(told)}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
