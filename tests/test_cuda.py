"""Choosing a card, the ring to the host, and that nobody else calls `torch.cuda`."""

import ast
from pathlib import Path

import pytest
import torch
from dlmd.model import cuda

REPO = Path(__file__).resolve().parent.parent
OWNER = REPO / "daemon/dlmd/model/cuda.py"
SOURCES = [
    path
    for room in ("daemon", "lsp", "finetune")
    for path in (REPO / room).rglob("*.py")
]


def card(index: int, free: int) -> cuda.Card:
    return cuda.Card(
        name="Some RTX",
        device=f"cuda:{index}",
        capability=(8, 6),
        free=free,
        total=24 << 30,
    )


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "cards", lambda: [card(0, 1 << 30), card(1, 20 << 30)])


# ---- which device


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("auto", "cuda:1"),  # the emptier one
        ("cuda", "cuda:1"),
        ("cuda:0", "cuda:0"),
        ("cpu", "cpu"),
        ("mps", "mps"),
    ],
)
def test_the_emptier_card_is_taken_unless_one_is_named(wanted: str, found: str) -> None:
    assert cuda.choose(wanted) == found


@pytest.mark.usefixtures("two_cards")
def test_a_card_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"cuda:0 \(Some RTX\), cuda:1"):
        cuda.choose("cuda:2")


@pytest.mark.usefixtures("two_cards")
def test_of_equally_empty_cards_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "cards", lambda: [card(0, 5), card(1, 5)])
    assert cuda.choose("auto") == "cuda:0"


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0"])
def test_without_a_card_cuda_is_refused(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setattr(cuda, "cards", lambda: [])
    with pytest.raises(ValueError, match="no CUDA GPU here; use auto"):
        cuda.choose(wanted)


def test_a_device_that_means_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda, "cards", lambda: [])
    with pytest.raises(ValueError, match="give auto, cpu, cuda, mps or a card"):
        cuda.choose("gpu")


def test_auto_without_a_card_is_a_device_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda, "cards", lambda: [])
    assert cuda.choose("auto") in ("cpu", "mps")


def test_a_cpu_has_no_capability_and_no_memory_of_its_own() -> None:
    assert cuda.capability("cpu") is None
    assert cuda.memory("cpu") is None
    for nothing_to_do in (cuda.take, cuda.wait, cuda.forget_most):
        nothing_to_do("cpu")
    cuda.give_back()


# ---- the ring


def outbox() -> cuda.Outbox:
    return cuda.Outbox(slots=3, width=2, dtype=torch.int64, device="cpu")


def write(box: cuda.Outbox, n: int) -> None:
    box.ring_RX[n % box.slots] = n
    box.send(n)


def test_records_come_out_as_they_went_in_while_newer_ones_are_written() -> None:
    box = outbox()
    write(box, 0)
    for n in range(1, 8):
        write(box, n)
        assert box.read(n - 1).tolist() == [n - 1] * 2


def test_what_was_read_does_not_change_when_its_slot_is_used_again() -> None:
    box = outbox()
    write(box, 0)
    first = box.read(0)
    for n in (1, 2, 3):
        write(box, n)
    assert first.tolist() == [0, 0]


def test_a_full_ring_takes_nothing_more() -> None:
    box = outbox()
    for n in range(3):
        write(box, n)
    with pytest.raises(AssertionError, match="full"):
        box.send(3)


def test_nothing_is_read_twice_or_before_it_was_sent() -> None:
    box = outbox()
    with pytest.raises(AssertionError, match="before it was sent"):
        box.read(0)
    write(box, 0)
    box.read(0)
    with pytest.raises(AssertionError):
        box.read(0)


def test_a_ring_starts_again_with_records_left_in_it() -> None:
    box = outbox()
    write(box, 0)
    write(box, 1)
    box.restart()
    write(box, 0)
    assert box.read(0).tolist() == [0, 0]


def test_without_a_card_a_captured_step_is_the_step() -> None:
    graphs = cuda.Graphs("cpu")
    calls: list[int] = []
    replay = graphs.capture(lambda: calls.append(1))
    assert (graphs.captured, calls) == (1, [])
    replay()
    assert calls == [1]


def test_times_are_taken_for_each_call() -> None:
    times = cuda.milliseconds(lambda: torch.ones(4), "cpu", repeats=3)
    assert len(times) == 3
    assert min(times) > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_on_a_card_a_graph_fills_the_ring_ahead_of_the_reader() -> None:
    box = cuda.Outbox(slots=4, width=2, dtype=torch.int64, device="cuda:0")
    count = torch.zeros(1, dtype=torch.int64, device="cuda:0")

    def step() -> None:
        box.ring_RX.index_copy_(0, count % 4, count.expand(1, 2))
        count.add_(1)

    replay = cuda.Graphs("cuda:0").capture(step)
    count.zero_()
    replay()
    box.send(0)
    for n in range(1, 20):
        replay()
        box.send(n)
        assert box.read(n - 1).tolist() == [n - 1] * 2


# ---- who may call it


def calls_of_cuda(source: str) -> list[str]:
    """Every use of `torch.cuda`, however it is imported."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.cuda":
            found.append(f"line {node.lineno}: torch.cuda")
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.startswith("torch.cuda")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "torch"
        ):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in whole if name.startswith("torch.cuda")]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found += ["a tensor's .cuda()"] if node.func.attr == "cuda" else []
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPO)))
def test_torch_cuda_is_called_in_one_file(path: Path) -> None:
    if path != OWNER:
        assert calls_of_cuda(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.cuda.is_available()",
        "import torch.cuda as c",
        "from torch import cuda",
        "from torch.cuda import Stream",
        "x.cuda()",
    ],
)
def test_a_call_elsewhere_is_seen(source: str) -> None:
    assert calls_of_cuda(source) != []
