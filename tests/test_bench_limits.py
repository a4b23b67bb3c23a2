"""The limit's arithmetic against figures worked out by hand, and that a box is measured."""

import math

import pytest
from dlmd.bench.limits import Box, fastest, measure_box, shape_of, shape_of_folder
from dlmd.profiles import EMBEDDED_FOLDER

QWEN = shape_of(
    {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    }
)
H200 = Box(
    device="cuda", dtype="bfloat16", itemsize=2, matrix_tflops=790, memory_gbs=4300
)


def test_a_7b_model_on_an_h200() -> None:
    assert QWEN.linear == pytest.approx(6.525e9, rel=0.001)
    assert QWEN.read(0, 2) == pytest.approx(14.14e9, rel=0.001)
    # Multiplications bound a full forward, memory a step over a hole.
    for context, ms in ((1024, 17.5), (2048, 36.0), (4096, 76.2)):
        assert H200.limit_s(QWEN, context, context, 32) == pytest.approx(
            ms / 1000, rel=0.01
        )
    for window, ms in ((33, 3.3), (161, 3.3), (257, 4.9)):
        assert H200.limit_s(QWEN, window, 2048, 32) == pytest.approx(
            ms / 1000, rel=0.13
        )


def test_the_shipped_models_numbers_are_read() -> None:
    shape = shape_of_folder(EMBEDDED_FOLDER)
    assert 1e6 < shape.linear < 1e8
    assert shape.flop(2, 8, 1) > 2 * 2 * shape.linear


@pytest.mark.slow
def test_this_box_is_measured() -> None:
    box = measure_box("cpu", "float32", shape_of_folder(EMBEDDED_FOLDER))
    assert box.itemsize == 4
    assert 0 < box.matrix_tflops < 1000 and 0 < box.memory_gbs < 100_000


def test_the_fastest_way_counts() -> None:
    calls: list[str] = []

    def slow() -> None:
        calls.append("slow")
        math.fsum(range(200_000))

    def quick() -> None:
        calls.append("quick")

    best = fastest([slow, quick], "cpu")
    assert {"slow", "quick"} <= set(calls)
    assert best <= fastest([slow], "cpu")
