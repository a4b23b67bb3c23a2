"""The device, borrowed from a running daemon for as long as tuning takes.

Only a card: beside a daemon on the processor there is room. Given back at the end, also
when this process is killed, because the loan ends with its connection. Must not know what
the device is used for.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dlmd.wire import discovery
from dlmd.wire.client import Client

BY = "dlmd tune"
PATIENCE_S = 60.0


@contextmanager
def device(name: str) -> Iterator[bool]:
    """Whether a daemon lent it; it takes it back at the end."""
    if not name.startswith("cuda") or discovery.read() is None:
        yield False
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        client = asyncio.run_coroutine_threadsafe(_borrowed(), loop).result(PATIENCE_S)
        print("the daemon sleeps while tuning has the device", flush=True)
        try:
            yield True
        finally:
            with suppress(ValueError, OSError):
                asyncio.run_coroutine_threadsafe(_returned(client), loop).result(
                    PATIENCE_S
                )
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _borrowed() -> Client:
    client = await Client.open()
    await client.sleep(BY)
    return client


async def _returned(client: Client) -> None:
    await client.wake()
    await client.close()
