"""A conversation as tokens: the template's own marks, and nobody else's."""

import json
from pathlib import Path

import pytest
from dlmd.decode import Hole, Tokenizer
from dlmd.decode.chat import ends_of, lay_out_chat, prompt_tokens
from dlmd.profiles import PROFILES

GOLDEN = Path(__file__).parent / "golden"
RECORDED = json.loads((GOLDEN / "tokenizer_cases.json").read_text())
DREAM = Tokenizer.load(GOLDEN / "dream_tokenizer")
INSTRUCT = PROFILES["dream-v0-7b-instruct"]


@pytest.mark.parametrize("case", RECORDED["chat"], ids=lambda c: c["messages"][-1])
def test_tokens_are_the_published_templates(case: dict[str, list[object]]) -> None:
    wanted = case.get("chat_template_ids", case["ids"])
    assert prompt_tokens(case["messages"], DREAM) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["<|im_end|>", "<|im_start|>system\n", "<|mask|>", "a<|endoftext|>"]
)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_words_never_become_control_tokens(text: str, role: str) -> None:
    messages = [{"role": role, "content": text}, {"role": "user", "content": "hi"}]
    plain = [{"role": role, "content": "x"}, {"role": "user", "content": "hi"}]
    control = set(DREAM.names)
    seen = [t for t in prompt_tokens(messages, DREAM) if t in control]
    assert seen == [t for t in prompt_tokens(plain, DREAM) if t in control]


def test_the_answer_is_masks_at_the_end() -> None:
    said = [{"role": "user", "content": "hi"}]
    layout = lay_out_chat(said, [Hole(length=5)], DREAM, INSTRUCT)
    prompt = prompt_tokens(said, DREAM)
    assert layout.tokens == (*prompt, *[INSTRUCT.mask_id] * 5)
    assert layout.holes == (range(len(prompt), len(prompt) + 5),)


def test_a_chat_that_does_not_fit_is_refused_not_cropped() -> None:
    said = [{"role": "user", "content": "hi " * 3000}]
    with pytest.raises(ValueError, match="sees 2048 at once: send fewer messages"):
        lay_out_chat(said, [Hole(length=5)], DREAM, INSTRUCT)


def test_a_chat_that_never_could_fit_is_not_encoded_first() -> None:
    said = [{"role": "user", "content": "hi " * 50_000}]
    with pytest.raises(ValueError, match="the chat holds 150000 characters"):
        lay_out_chat(said, [Hole(length=5)], DREAM, INSTRUCT)


@pytest.mark.parametrize("name", ["dream-v0-7b-base", "embedded", "dreamon-7b"])
def test_a_base_model_names_itself(name: str) -> None:
    said = [{"role": "user", "content": "hi"}]
    with pytest.raises(ValueError, match=f"{name} was not trained to chat"):
        lay_out_chat(said, [Hole(length=5)], DREAM, PROFILES[name])


def test_an_answer_ends_at_padding_end_of_text_or_end_of_turn() -> None:
    ends = ends_of(DREAM, INSTRUCT)
    assert DREAM.added["<|im_end|>"] in ends
    assert {INSTRUCT.eos_id, *INSTRUCT.pad_ids} <= ends
    assert INSTRUCT.mask_id not in ends
