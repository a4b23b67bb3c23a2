"""Room for a second model on a machine whose daemon holds one.

If it does not fit beside, the running daemon is asked to lend its device, as tuning asks.
The loan ends with the connection, so whatever happens here, the daemon comes back. Must
not know what the room is for.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from dlmd.serve.findings import Finding
from dlmd.wire import discovery
from dlmd.wire.client import Client, Endpoint

Fit = TypeVar("Fit")
BY = "dlmd doctor"


@contextlib.contextmanager
def borrowed(
    fits: Callable[[], Fit | Finding], say: Callable[[str], None]
) -> Iterator[tuple[Fit | Finding, str]]:
    """What `fits` finds, asked again with the daemon's memory free if it found no room;
    and a word on the daemon, for whom it concerns."""
    found, daemon = fits(), discovery.read()
    if daemon is None:
        yield found, ""
        return
    if not isinstance(found, Finding):
        yield found, ", beside the daemon's model"
        return
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        endpoint = Endpoint(socket=daemon.socket)
        try:
            client = runner.run(Client.open(endpoint))
            stack.callback(lambda: runner.run(client.close()))
            say("asking the daemon for its device; its requests have to wait meanwhile")
            runner.run(client.sleep(BY))
        except (ValueError, OSError):
            yield found, ""  # it lends it to somebody already, or is going
            return
        yield fits(), ", lent by the daemon"
