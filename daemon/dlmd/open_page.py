"""`dlmd open`: the local page in a browser, for as long as this command runs.

Asks the daemon over its unix socket for a one-time link and holds that request: when this
ends, the port that the daemon opened for it closes. Must not know what the page does.
"""

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from dlmd.wire import discovery


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = discovery.connect_socket(self._path)


@contextlib.contextmanager
def leased(path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The one-time link, and what waits until the daemon ends."""
    connection = _Unix(path)
    try:
        connection.request(
            "POST", "/v1/page", headers={"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        if answer.status != 200:
            said = answer.read(300).decode(errors="replace").strip()
            raise ValueError(
                f"the daemon opened no page (HTTP {answer.status}: {said})"
            )
        url = str(json.loads(answer.readline())["url"])
        held: socket.socket = connection.sock
        held.settimeout(None)

        def wait() -> None:
            with contextlib.suppress(http.client.HTTPException, OSError):
                while answer.readline():
                    pass

        yield url, wait
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(
            f"the daemon at {path} does not answer ({error}); see `dlmd doctor`"
        ) from error
    finally:
        connection.close()
