"""The newest request as a person may read it: the text, the holes, what came from where.

Must not know how it was put together.
"""

from __future__ import annotations

from typing import Any

from dlmd_lsp.session import Sent


def told(sent: Sent | None) -> dict[str, Any]:
    if sent is None:
        return {"text": "nothing was sent of this document", "items": []}
    items = [
        {"path": one.path, "kind": one.kind, "lines": [one.first, one.last]}
        for one in sent.others
    ]
    letters = sum(len(part) for part in sent.parts if isinstance(part, str))
    rows = [
        f"request {sent.id}, to the daemon on this machine's socket or the one you named",
        f"{letters} letters, of which the daemon lets the model see what fits",
    ]
    if sent.adapter is not None:
        rows.append(f"with the adapter {sent.adapter}, tuned on this repository")
    for item in items:
        first, last = item["lines"]
        rows.append(
            f"from {item['path']}, lines {first + 1} to {last + 1} ({item['kind']})"
        )
    body = "".join(part if isinstance(part, str) else "⟦hole⟧" for part in sent.parts)
    return {"text": "\n".join(rows) + "\n\n" + body, "items": items}
