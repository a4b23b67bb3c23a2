"""Byte-level BPE between text and ids, with control tokens only where they are asked for.

Reads `tokenizer.json`, or the Qwen2 trio `vocab.json`, `merges.txt`, `added_tokens.json`.
The library's own handling of added tokens is not used: source code that contains the
text `<|mask|>` must stay text, and only `special=True` turns such text into control ids.
Must not know holes, canvases or models.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

# Qwen2's split: digits one by one, a leading blank stays with its word.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEFAULT_SYSTEM = "You are a helpful assistant."
ROLES = ("system", "user", "assistant")


def byte_values() -> dict[str, int]:
    """The printable stand-in of every byte in a byte-level vocabulary (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTES = byte_values()


class Tokenizer:
    """One vocabulary; `added` maps the text of each control token to its id."""

    def __init__(self, backend: Backend, added: Mapping[str, int]) -> None:
        self.backend = backend
        self.added = dict(added)
        self.names = {token: text for text, token in self.added.items()}
        longest_first = sorted(self.added, key=len, reverse=True)
        self.control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self.known_bytes: dict[int, bytes] = {}

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        folder = Path(folder)
        try:
            if (folder / "tokenizer.json").exists():
                return cls(*from_tokenizer_json(folder / "tokenizer.json"))
            if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
                return cls(*from_qwen2_files(folder))
        except OSError as error:
            raise ValueError(
                f"cannot read the tokenizer in {folder} ({error.strerror}); check that "
                "you may read its files"
            ) from None
        except (
            *(ValueError, KeyError, TypeError, AttributeError),
            *(IndexError, RecursionError),
        ) as error:
            raise ValueError(
                f"the tokenizer in {folder} is damaged or not a byte-level BPE ({error}); "
                "download it again"
            ) from None
        raise ValueError(
            f"no tokenizer in {folder}; expected tokenizer.json, or vocab.json with "
            "merges.txt: download the folder again"
        )

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of `text`; with `special`, the text of control tokens becomes their ids."""
        refuse_half_characters(text)
        if not special:
            return self.plain(text)
        ids: list[int] = []
        at = 0
        for match in self.control.finditer(text):
            ids += self.plain(text[at : match.start()])
            ids.append(self.added[match.group()])
            at = match.end()
        return ids + self.plain(text[at:])

    def plain(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, control tokens as their text, broken characters as U+FFFD."""
        parts = (
            self.names[i].encode() if i in self.names else self.bytes_of(i) for i in ids
        )
        return b"".join(parts).decode("utf-8", errors="replace")

    def bytes_of(self, token: int) -> bytes:
        """The bytes a token stands for; none for control tokens and unused ids."""
        found = self.known_bytes.get(token)
        if found is None:
            text = None if token in self.names else self.backend.id_to_token(token)
            found = bytes(BYTES[c] for c in text) if text is not None else b""
            self.known_bytes[token] = found
        return found

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The Qwen2.5 template, opened for the assistant's answer."""
        if not messages:
            raise ValueError("the chat has no messages; send at least one of the user")
        for message in messages:
            if message.get("role") not in ROLES or "content" not in message:
                raise ValueError(
                    f"a chat message has role {message.get('role')!r}; expected system, "
                    "user or assistant, and a content"
                )
        turns = list(messages)
        if turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": DEFAULT_SYSTEM})
        rendered = (
            f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in turns
        )
        return "".join(rendered) + "<|im_start|>assistant\n"


def refuse_half_characters(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text holds half a surrogate pair (U+{ord(text[error.start]):04X}) at "
            f"character {error.start}; send valid Unicode"
        ) from None


def from_tokenizer_json(file: Path) -> tuple[Backend, dict[str, int]]:
    raw = json.loads(file.read_text(encoding="utf-8"))
    if "ByteLevel" not in json.dumps(raw["pre_tokenizer"]):
        raise ValueError("its pre_tokenizer has no ByteLevel")
    added = {entry["content"]: entry["id"] for entry in raw["added_tokens"] or []}
    # Control tokens leave the vocabulary too, else a split equal to one could become it.
    for text in added:
        raw["model"]["vocab"].pop(text, None)
    raw |= {"added_tokens": [], "post_processor": None}
    raw |= {"truncation": None, "padding": None}
    return backend_from(raw), added


def backend_from(raw: dict[str, Any]) -> Backend:
    try:
        return Backend.from_str(json.dumps(raw))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(str(error)) from None


def from_qwen2_files(folder: Path) -> tuple[Backend, dict[str, int]]:
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges: list[tuple[str, str]] = []
    for line in lines:
        if line and not line.startswith("#version:"):
            left, right = line.split(" ")
            merges.append((left, right))
    try:
        backend = Backend(models.BPE(vocab=vocab, merges=merges))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(str(error)) from None
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return backend, qwen2_added(folder)


def qwen2_added(folder: Path) -> dict[str, int]:
    """Both files that may list added tokens; DiffuCoder's padding is in the second."""
    added: dict[str, int] = {}
    if (folder / "added_tokens.json").exists():
        added |= json.loads((folder / "added_tokens.json").read_text(encoding="utf-8"))
    if (folder / "tokenizer_config.json").exists():
        raw = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        listed = raw.get("added_tokens_decoder") or {}
        added |= {entry["content"]: int(token) for token, entry in listed.items()}
    return added
