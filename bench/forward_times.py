"""How long one forward takes on this CPU, by size, context and number type.

    .venv/bin/python bench/forward_times.py

Random weights in the shapes `dlmd pretrain --hidden H --layers L` would train; the head on
32 rows, as for a hole of 32 masks. Run it when nothing else runs. Knows no training.
"""

import statistics
import time

import torch
from dlmd.model import Dream, DreamConfig

SIZES = ((192, 6), (256, 4), (256, 6), (256, 8), (320, 6), (384, 6), (384, 8))
CONTEXTS = (256, 512, 1024)
HOLE, REPEATS = 32, 15


def shape(hidden: int, layers: int) -> DreamConfig:
    heads = hidden // 64
    return DreamConfig(
        vocab_size=4096,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else 1,
        mask_token_id=3,
        tie_word_embeddings=True,
    )


def median_ms(model: Dream, context: int) -> float:
    tokens_BT = torch.randint(4096, (1, context))
    rows_N = torch.arange(context // 2, context // 2 + HOLE)
    times = []
    for _ in range(REPEATS + 3):
        began = time.perf_counter()
        model(tokens_BT, rows_N=rows_N)
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:]) * 1000


def main() -> None:
    torch.manual_seed(0)
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, median of {REPEATS}"
    )
    columns = [f"{kind} {context}" for kind in ("fp32", "bf16") for context in CONTEXTS]
    print(f"| hidden x layers | parameters | MB in bf16 | {' | '.join(columns)} |")
    print("| --- | --- | --- |" + " --- |" * len(columns))
    for hidden, layers in SIZES:
        model = Dream(shape(hidden, layers)).eval()
        count = sum(weight.numel() for weight in model.parameters())
        cells = []
        with torch.no_grad():
            for dtype in (torch.float32, torch.bfloat16):
                model = model.to(dtype)
                cells += [f"{median_ms(model, context):.0f} ms" for context in CONTEXTS]
        print(
            f"| {hidden} x {layers} | {count / 1e6:.1f}M | {count * 2 / 1e6:.1f} | {' | '.join(cells)} |"
        )


if __name__ == "__main__":
    main()
