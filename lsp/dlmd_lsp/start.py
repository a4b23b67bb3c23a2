"""From nothing to a server as soon as may be: an editor waits for it.

Must not know what the server does.
"""

from __future__ import annotations

import gc


def main() -> None:
    """Serve the editor at the other end of stdin and stdout until it leaves."""
    # The protocol's hundreds of classes are there for good; nothing of them is garbage.
    gc.disable()
    from dlmd_lsp.server import main as serve

    gc.freeze()
    gc.enable()
    serve()
