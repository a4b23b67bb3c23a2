"""A toy language, and a checkpoint that learns it with expand and delete labels.

A text is a count, a run of so many letters, and an end: `begin 4 a b c d end`. Training
hides the run as DreamOn does (arXiv 2602.01326): letters are masked, neighbouring masks
merge into one whose label is "expand", surplus masks are labelled "delete". A few seconds
on a CPU teach a tiny network to find the length that the count asks for. Knows no decoder.
"""

from collections.abc import Sequence

import torch
from dlmd.model import Dream, DreamConfig
from torch import Tensor
from torch.nn import functional as F

DELETE, EXPAND, MASK, BEGIN, END = 0, 1, 2, 3, 4
COUNT, LETTER = 5, 20  # COUNT + n asks for n letters; LETTER + k is the k-th
MOST = 5
VOCABULARY = LETTER + MOST
NO_LABEL = -100
HOLES = 2  # of a training row


def config() -> DreamConfig:
    return DreamConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
        mask_token_id=MASK,
        rope_theta=1e4,
        max_position_embeddings=128,
    )


def letters(count: int) -> list[int]:
    return [LETTER + k for k in range(count)]


def hidden(count: int, chance: torch.Generator) -> tuple[list[int], list[int]]:
    """A run of letters as a half-finished hole, and the label of each of its masks."""

    def drawn() -> float:
        return float(torch.rand((), generator=chance))

    share, merging = max(0.15, drawn()), 0.75 * drawn()
    if drawn() < 0.3:
        share = 1.0  # as every hole begins
    tokens: list[int] = []
    labels: list[int] = []
    for letter in letters(count):
        if drawn() >= share:
            tokens.append(letter)
            labels.append(NO_LABEL)
        elif (
            tokens and tokens[-1] == MASK and labels[-1] != EXPAND and drawn() < merging
        ):
            labels[-1] = EXPAND
        else:
            tokens.append(MASK)
            labels.append(letter)
    surplus = int(drawn() * (MOST + 1)) if drawn() < 0.5 else 0
    return tokens + [MASK] * surplus, labels + [DELETE] * surplus


def batch(rows: int, chance: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, labels of the masks, and what is no padding; all (B, T)."""
    drawn = []
    for _ in range(rows):
        tokens, labels = [BEGIN], [NO_LABEL]
        for _ in range(HOLES):
            count = 1 + int(torch.randint(MOST, (), generator=chance))
            inside, wanted = hidden(count, chance)
            tokens += [COUNT + count, *inside, END]
            labels += [NO_LABEL, *wanted, NO_LABEL]
        drawn.append((tokens, labels))
    T = max(len(tokens) for tokens, _ in drawn)
    filled = [
        (t + [DELETE] * (T - len(t)), y + [NO_LABEL] * (T - len(y)), len(t))
        for t, y in drawn
    ]
    valid_BT = torch.arange(T) < torch.tensor([[count] for _, _, count in filled])
    return (
        torch.tensor([tokens for tokens, _, _ in filled]),
        torch.tensor([labels for _, labels, _ in filled]),
        valid_BT,
    )


def trained(steps: int, seed: int = 0, rows: int = 48) -> Dream:
    torch.manual_seed(seed)
    chance = torch.Generator().manual_seed(seed)
    model = Dream(config())
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.05)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * min(1.0, step / 30, 2 * (1 - step / steps))
        tokens_BT, labels_BT, valid_BT = batch(rows, chance)
        logits_BTV = model(tokens_BT, valid_BT)
        loss = F.cross_entropy(
            logits_BTV[:, :-1].flatten(0, 1), labels_BT[:, 1:].flatten()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


def laid(counts: Sequence[int], most: int) -> tuple[list[int], list[range]]:
    """A row with a hole of `most` slots where each run of letters belongs."""
    row, holes = [BEGIN], []
    for count in counts:
        row.append(COUNT + count)
        holes.append(range(len(row), len(row) + most))
        row += [MASK] * most + [END]
    return row, holes
