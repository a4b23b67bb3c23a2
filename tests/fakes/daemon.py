"""A real daemon on a fake model: sockets, processes, threads and signals are the product's.

`python -m tests.fakes.daemon --table fills.json --delay-ms 20`, or by its path from any
folder. fills.json maps the text before a hole to its fill. Must not need torch.
"""

import argparse
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "daemon")]

from dlmd.serve.engine import Engine  # noqa: E402
from dlmd.serve.server import serve  # noqa: E402

from tests.fakes.model import DEFAULT_FILL, FakeBackend  # noqa: E402


def main() -> int:
    options = parsed()
    for place in options.die_at:
        die_at(place)
    table = json.loads(options.table.read_text()) if options.table else {}
    adapters = json.loads(options.adapters.read_text()) if options.adapters else {}
    backend = FakeBackend(
        table=table,
        adapters=adapters,
        default=options.default,
        delay_s=options.delay_ms / 1000,
        steps=options.steps,
        load_s=options.load_ms / 1000,
        load_error=ValueError(options.load_error) if options.load_error else None,
        before_forward=counted(options.counter),
    )
    try:
        return serve(
            Engine(backend, max_open=options.most_open, keep_alive=options.keep_alive),
            socket=options.socket,
            http=options.http,
            announce=lambda sentence: print(sentence, flush=True),
            stay_on_failure=options.stay_on_failure,
        )
    except ValueError as error:
        print(f"dlmd: {error}", file=sys.stderr)
        return 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.fakes.daemon")
    parser.add_argument("--table", type=Path, help="JSON: text before a hole -> fill")
    parser.add_argument("--default", default=DEFAULT_FILL, help="fill without an entry")
    parser.add_argument("--adapters", type=Path, help="JSON: name -> fill")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of each forward")
    parser.add_argument("--steps", type=int, help="of each request; else 1 per token")
    parser.add_argument(
        "--counter", type=Path, help="file that holds the forwards so far"
    )
    parser.add_argument("--load-ms", type=float, default=0.0)
    parser.add_argument("--load-error", help="fail to load, with this sentence")
    parser.add_argument("--stay-on-failure", action="store_true")
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--http")
    parser.add_argument("--keep-alive", default="30m")
    parser.add_argument("--most-open", type=int, default=256)
    parser.add_argument(
        "--die-at",
        action="append",
        default=[],
        metavar="MODULE:NAME[:N]",
        help="kill -9 itself as this is called for the n-th time",
    )
    return parser.parse_args()


def die_at(place: str) -> None:
    module, name, *rest = place.split(":")
    *owners, last = name.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    before, left = getattr(owner, last), [int(rest[0]) if rest else 1]

    def dying(*arguments: object, **named: object) -> object:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return before(*arguments, **named)

    setattr(owner, last, dying)


def counted(path: Path | None) -> Callable[[int], None]:
    """Write the number of each forward into `path`, in one write of a fixed width."""
    if path is None:
        return lambda n: None
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)

    def write(n: int) -> None:
        os.pwrite(file, b"%012d\n" % n, 0)

    write(0)
    return write


if __name__ == "__main__":
    sys.exit(main())
