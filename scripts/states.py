"""Every denoising state of one hole: as lines of plain text, or as a picture.

    python scripts/states.py FILE:LINE               a line for each state; FILE is filled
    python scripts/states.py FILE:LINE --svg OUT     a few states, as a terminal draws them

Asks the daemon that runs, as `dlmd infill` does, and draws with what that draws with.
`make demo` takes the lines where there is no terminal, `make picture` the picture.
"""

import argparse
import asyncio
import sys
from io import StringIO
from pathlib import Path

from dlmd.holes import Document, from_file, spliced, write_back
from dlmd.terminal import excerpt, finished, view
from dlmd.wire.client import Client
from dlmd.wire.protocol import Infill, Result, State, Status
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

WIDTH = 78


async def denoised(document: Document) -> tuple[Status, list[State], Result]:
    states: list[State] = []
    request = Infill(id="states", parts=list(document.parts))
    async with Client.connect() as client:
        async for message in client.infill(request):
            if isinstance(message, Result):
                return client.status, states, message
            states.append(message)
    raise AssertionError("an infill ends with a result or an exception")


def plain(state: State) -> str:
    """One hole on one line: settled text as it is, a block for each masked token."""
    drawn = "".join(p if isinstance(p, str) else "░" * p for p in state.holes[0])
    return f"step {state.step:3} of {state.of}  {drawn.strip(' ')}".replace("\n", "⏎")


def picture(
    document: Document, status: Status, states: list[State], result: Result
) -> str:
    """The first state, three on the way, and the end, below each other."""
    console = Console(record=True, width=WIDTH, file=StringIO(), color_system="256")
    shown = excerpt(document.parts)
    for step in sorted({round(part * (len(states) - 1) / 4) for part in range(4)}):
        before = states[step - 1] if step else None
        console.print(view(shown, status, before, states[step]), Text())
    # The picture says what happens, not how fast: a time would need its machine.
    untimed = replace(result.usage, ms_first_state=None, ms_total=None)
    console.print(finished(shown, status, replace(result, usage=untimed)))
    return console.export_svg(title="dlmd infill", unique_id="dlmd")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("place", metavar="FILE:LINE")
    parser.add_argument("--svg", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    document = from_file(arguments.place, None)
    status, states, result = asyncio.run(denoised(document))
    if arguments.svg:
        arguments.svg.write_text(picture(document, status, states, result))
        print(f"wrote {arguments.svg}: {len(states)} states of {status.model}")
        return 0
    for state in states:
        print(plain(state))
    write_back(document, spliced(document.parts, result.candidates[0].holes))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
