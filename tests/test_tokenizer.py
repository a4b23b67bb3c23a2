"""Text to ids and back: recorded cases, control text that stays text, damaged folders."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from dlmd.decode import Tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.tiny import SPECIALS, byte_tokenizer

GOLDEN = Path(__file__).parent / "golden"
RECORDED = json.loads((GOLDEN / "tokenizer_cases.json").read_text())
DREAM = Tokenizer.load(GOLDEN / "dream_tokenizer")
CHATS = RECORDED["chat"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("a tokenizer")
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder)


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: repr(case["text"]))
def test_published_ids(case: dict[str, Any]) -> None:
    assert DREAM.encode(case["text"], special=True) == case["ids"]
    assert DREAM.decode(case["ids"]) == case["decoded"]


@pytest.mark.parametrize(
    "case", CHATS, ids=lambda case: case["messages"][-1]["content"]
)
def test_chat_template(case: dict[str, Any]) -> None:
    rendered = DREAM.chat(case["messages"])
    if "note" not in case:
        assert rendered == case["rendered"]
    wanted = case.get("chat_template_ids", case["ids"])
    assert DREAM.encode(rendered, special=True) == wanted


def test_control_ids() -> None:
    assert {text: DREAM.added[text] for text in RECORDED["special"]} == RECORDED[
        "special"
    ]


@pytest.mark.parametrize(
    "messages", [[], [{"role": "tool", "content": "x"}], [{"role": "user"}]]
)
def test_chats_that_cannot_be_rendered(messages: list[dict[str, str]]) -> None:
    with pytest.raises(ValueError, match="message"):
        DREAM.chat(messages)


@pytest.mark.parametrize("text", [*RECORDED["special"], *SPECIALS, "<tool_call>"])
@pytest.mark.parametrize(
    "around", ["{}", "x{}y", "\n{}\n", "{0}{0}", "<|{}|>", "e\u0301{}"]
)
def test_control_text_stays_text(tiny: Tokenizer, text: str, around: str) -> None:
    written = around.format(text)
    for tokenizer in (DREAM, tiny):
        ids = tokenizer.encode(written)
        assert not set(ids) & set(tokenizer.names)
        assert tokenizer.decode(ids) == unicodedata.normalize("NFC", written)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["<", "|", ">", "mask", "\u0338", "<|mask|>", " "])))
def test_no_text_becomes_a_control_id(parts: list[str]) -> None:
    text = "".join(parts)
    assert not set(DREAM.encode(text)) & set(DREAM.names)


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_text_comes_back_normalised(text: str) -> None:
    assert DREAM.decode(DREAM.encode(text)) == unicodedata.normalize("NFC", text)


def test_the_longest_control_text_wins(tiny: Tokenizer) -> None:
    longer = Tokenizer(tiny.backend, {"<a": 900, "<ab>": 901})
    assert longer.encode("<ab><a", special=True) == [901, 900]


def test_bytes_of_control_and_unused_ids() -> None:
    assert DREAM.bytes_of(DREAM.added["<|mask|>"]) == DREAM.bytes_of(152000) == b""
    assert b"".join(map(DREAM.bytes_of, DREAM.encode("→ é"))) == "→ é".encode()


def test_a_broken_character_decodes_as_one_sign(tiny: Tokenizer) -> None:
    ids = tiny.encode("é")
    assert len(ids) == 2 and tiny.decode(ids[:1]) == "\ufffd"


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"U\+D800\) at character 2; send valid"):
        DREAM.encode("ab\ud800")


# ---- folders ----


def tokenizer_json(folder: Path, **changes: object) -> None:
    raw = json.loads(byte_tokenizer().to_str()) | changes
    (folder / "tokenizer.json").write_text(json.dumps(raw))


def test_a_folder_that_adds_tokens_by_itself_does_not(tmp_path: Path) -> None:
    """Template processors and truncation of other libraries' habits are left out."""
    truncation = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    tokenizer_json(tmp_path, truncation=truncation)
    assert len(Tokenizer.load(tmp_path).encode("zzzzzz")) == 6


def test_both_lists_of_added_tokens_count(tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):
        (tmp_path / name).write_bytes((GOLDEN / "dream_tokenizer" / name).read_bytes())
    listed = {"added_tokens_decoder": {"151667": {"content": "<|dlm_pad|>"}}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(listed))
    loaded = Tokenizer.load(tmp_path)
    assert loaded.encode("<|dlm_pad|><|mask|>", special=True) == [151667, 151666]


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no tokenizer in .*; expected tokenizer\.json"
    ):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"pre_tokenizer": {"type": "Whitespace"}, "model": {}}']
)
def test_damaged_tokenizer_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match="damaged or not a byte-level BPE"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("vocab", "merges"), [("{", "a b"), ('{"a": 1}', "a b"), ("{}", "a")]
)
def test_damaged_qwen2_files(tmp_path: Path, vocab: str, merges: str) -> None:
    (tmp_path / "vocab.json").write_text(vocab)
    (tmp_path / "merges.txt").write_text(merges)
    with pytest.raises(ValueError, match="damaged or not a byte-level BPE"):
        Tokenizer.load(tmp_path)


def test_unreadable_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(ValueError, match="cannot read the tokenizer"):
        Tokenizer.load(tmp_path)
