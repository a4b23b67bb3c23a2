"""A hub's answers: what a repository holds at a commit, and the bytes of one file.

The only file that imports huggingface_hub, and only inside functions. Its session brings
proxies, certificates, tokens and HF_ENDPOINT; the loop over the bytes is ours, because the
library throws away what came when a download breaks off. Must not know where files end up.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlmd.store.files import is_read, refuse_incomplete

TRIES = 5  # in a row, without a byte in between
PAUSE_S = 1.0  # before the next try; doubled for each in a row that brought nothing
TIMEOUT_S = 20.0
TRANSIENT = (408, 429, 500, 502, 503, 504)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file, and what it must be. A hub states sha256 for large files and git's hash for
    small ones; neither is known of files in a folder."""

    name: str
    size: int
    sha256: str | None = None
    git_sha1: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A repository at one commit, reduced to the files that dlmd reads."""

    repository: str
    revision: str
    licence: str | None
    files: tuple[Wanted, ...]


def endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def is_offline() -> bool:
    """Whether the library's own variables forbid to go online; ours is a setting."""
    words = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(
        os.environ.get(word, "").casefold() in ("1", "on", "yes", "true")
        for word in words
    )


def offer(repository: str, revision: str) -> Offer:
    """What the hub has at a branch, tag or commit; the commit is what is pinned."""
    _quiet()
    from huggingface_hub import HfApi

    with refusals(repository, revision):
        api = HfApi(
            endpoint=endpoint(), library_name="dlmd", library_version=_version()
        )
        info = api.model_info(
            repository, revision=revision, files_metadata=True, timeout=TIMEOUT_S
        )
    try:
        return _offer(repository, info)
    except (TypeError, AttributeError, KeyError) as strange:
        raise ValueError(
            f"{endpoint()} does not answer as a Hugging Face hub does ({strange}); "
            "check HF_ENDPOINT"
        ) from strange


def _offer(repository: str, info: Any) -> Offer:
    where = f"{repository} on {endpoint()}"
    if not _COMMIT.fullmatch(str(info.sha)):
        raise ValueError(f"{where} names no commit but {info.sha!r}; check HF_ENDPOINT")
    # A name with a slash or a leading dot is nothing dlmd reads, whatever it leads to.
    found = [each for each in info.siblings or () if is_read(each.rfilename)]
    refuse_incomplete(where, [each.rfilename for each in info.siblings or ()])
    files = tuple(
        Wanted(
            name=each.rfilename,
            size=int(each.lfs.size if each.lfs else each.size),
            sha256=each.lfs.sha256 if each.lfs else None,
            git_sha1=None if each.lfs else each.blob_id,
        )
        for each in found
    )
    return Offer(
        repository=repository, revision=info.sha, licence=_licence(info), files=files
    )


def _licence(info: Any) -> str | None:
    card = info.card_data
    named = card and (card.get("license_name") or card.get("license"))
    return str(named) if named else None


def fetch(repository: str, revision: str, wanted: Wanted, part: Path) -> Iterator[int]:
    """Bring `part` to its full size; yields how many bytes it has.

    It goes on behind the bytes that are there, from an earlier run too.
    """
    _quiet()
    part.touch()
    if part.stat().st_size > wanted.size:
        os.truncate(part, 0)
    failures, most = 0, part.stat().st_size
    while (before := part.stat().st_size) < wanted.size:
        reason = "the connection ended early"
        try:
            with refusals(repository, revision):
                yield from _stream(repository, revision, wanted, part, before)
        except Interrupted as broken:
            reason = str(broken)
        have = part.stat().st_size
        # A hub that cannot go on starts again from the front: only new ground counts.
        failures, most = (0, have) if have > most else (failures + 1, most)
        if have < wanted.size and failures >= TRIES:
            raise ValueError(
                f"the download of {wanted.name} broke off at {have} of {wanted.size} "
                f"bytes ({reason}); type the same command again to go on from there"
            )
        if have < wanted.size:
            time.sleep(PAUSE_S * 2**failures)


class Interrupted(Exception):
    """The connection was lost, or the hub is busy: worth another try."""


def _stream(
    repository: str, revision: str, wanted: Wanted, part: Path, start: int
) -> Iterator[int]:
    import httpx2
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        hf_raise_for_status,
    )

    url = hf_hub_url(repository, wanted.name, revision=revision, endpoint=endpoint())
    asker = build_hf_headers(library_name="dlmd", library_version=_version())
    headers = asker | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with get_session().stream(
            "GET", url, headers=headers, timeout=TIMEOUT_S
        ) as response:
            if response.status_code in TRANSIENT:
                raise Interrupted(f"the hub answers {response.status_code}")
            hf_raise_for_status(response)
            goes_on = response.headers.get("Content-Range", "").startswith(
                f"bytes {start}-"
            )
            at = start if response.status_code == 206 and goes_on else 0
            yield from _append(response.iter_bytes(), part, at, wanted)
    except httpx2.TransportError as broken:
        raise Interrupted(f"{type(broken).__name__}: {broken}".rstrip(": ")) from broken


def _append(
    blocks: Iterator[bytes], part: Path, at: int, wanted: Wanted
) -> Iterator[int]:
    with part.open("r+b") as out:
        out.truncate(at)
        out.seek(at)
        for block in blocks:
            at += len(block)
            if at > wanted.size:
                raise ValueError(
                    f"{endpoint()} sends more of {wanted.name} than the {wanted.size} "
                    "bytes it announced; nothing of it is used"
                )
            out.write(block)
            yield at


@contextmanager
def refusals(repository: str, revision: str) -> Iterator[None]:
    """What the hub or the network refuses, as one sentence."""
    import httpx2
    from huggingface_hub import errors

    page = f"{endpoint()}/{repository}"
    try:
        yield
    except errors.OfflineModeIsEnabled as off:
        raise offline(repository) from off
    except errors.GatedRepoError as gated:
        raise ValueError(
            f"{repository} is given only to those who agreed to its terms; agree on "
            f"{page}, then type `hf auth login` and the same command again"
        ) from gated
    except errors.RevisionNotFoundError as absent:
        raise ValueError(
            f"{repository} has no revision {revision!r}; leave --revision out, or look "
            f"at {page}/commits/main"
        ) from absent
    except errors.HfHubHTTPError as refused:
        if refused.response.status_code in (401, 403, 404):
            raise ValueError(
                f"{endpoint()} has no {repository}, or none for you; look at {page}, "
                "and type `hf auth login` if it asks you to log in"
            ) from refused
        raise ValueError(
            f"{endpoint()} answers {refused.response.status_code} for {repository}; try "
            "again later, or look at its page"
        ) from refused
    except httpx2.TransportError as lost:
        raise ValueError(
            f"cannot reach {endpoint()} ({lost}); check the network, HTTPS_PROXY and "
            "HF_ENDPOINT, or give the files with --from DIR"
        ) from lost


def offline(repository: str) -> ValueError:
    return ValueError(
        f"{repository} is not here, and going online is forbidden (--offline, "
        "DLMD_OFFLINE or HF_HUB_OFFLINE); allow it, or give the files with --from DIR"
    )


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("dlmd")
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return "source"


def _quiet() -> None:
    """No word to the hub about this machine but who asks: `dlmd` and the versions."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
