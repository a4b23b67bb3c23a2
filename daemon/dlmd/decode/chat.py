"""A conversation as tokens: the template's marks are control tokens, the words never are.

Whoever writes `<|im_end|>` into a message has written ten characters, and has not ended it.
The answer is a hole at the end, which is over where the model says so. Must not know how
holes are filled.
"""

from collections.abc import Mapping, Sequence

from dlmd.decode.canvas import DEFAULT_MASKS, MOST_CHARACTERS, Hole, Layout, Part
from dlmd.decode.tokenizer import DEFAULT_SYSTEM, ROLES, Tokenizer
from dlmd.profiles import Profile

BEGIN, END = "<|im_start|>", "<|im_end|>"


def prompt_tokens(
    messages: Sequence[Mapping[str, str]], tokenizer: Tokenizer
) -> list[int]:
    """`Tokenizer.chat` as ids, however much the messages look like control tokens."""
    tokenizer.chat(messages)  # refuses what cannot be rendered
    turns = list(messages)
    if turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": DEFAULT_SYSTEM})
    tokens: list[int] = []
    for turn in turns:
        assert turn["role"] in ROLES
        tokens.append(tokenizer.added[BEGIN])
        tokens += tokenizer.encode(turn["role"] + "\n" + turn["content"])
        tokens.append(tokenizer.added[END])
        tokens += tokenizer.encode("\n")
    return [*tokens, tokenizer.added[BEGIN], *tokenizer.encode("assistant\n")]


def lay_out_chat(
    messages: Sequence[Mapping[str, str]],
    parts: Sequence[Part],
    tokenizer: Tokenizer,
    profile: Profile,
) -> Layout:
    """The whole conversation, then the parts; nothing is cropped, for a template that
    lacks its start means something else."""
    if profile.prompt_form != "chat" or not {BEGIN, END} <= tokenizer.added.keys():
        raise ValueError(
            f"{profile.name} was not trained to chat; ask it to infill, or serve an "
            "instruct model such as diffucoder-7b-instruct"
        )
    said = sum(len(message["content"]) for message in messages)
    if (
        said > profile.context * MOST_CHARACTERS
    ):  # encoding it would keep others waiting
        raise ValueError(
            f"the chat holds {said} characters; {profile.name} sees {profile.context} "
            "tokens at once: send fewer messages"
        )
    tokens = prompt_tokens(messages, tokenizer)
    sent = len(tokens)
    holes: list[range] = []
    for part in parts:
        if isinstance(part, str):
            tokens += tokenizer.encode(part)
            continue
        start = tokenizer.encode(part.initial or "")
        tokens += start
        masks = max(0, _size(part, start) - len(start))
        holes.append(range(len(tokens), len(tokens) + masks))
        tokens += [profile.mask_id] * masks
    if len(tokens) > profile.context:
        raise ValueError(
            f"the chat takes {sent} tokens and its answer {len(tokens) - sent}; "
            f"{profile.name} sees {profile.context} at once: send fewer messages, or ask "
            "for a shorter answer"
        )
    return Layout(tokens=tuple(tokens), holes=tuple(holes))


def ends_of(tokenizer: Tokenizer, profile: Profile) -> frozenset[int]:
    """Tokens after which an answer is over."""
    ends = {*profile.pad_ids, profile.eos_id, tokenizer.added.get(END)}
    return frozenset(token for token in ends if token is not None)


def _size(hole: Hole, start: Sequence[int]) -> int:
    return hole.size or len(start) + DEFAULT_MASKS
