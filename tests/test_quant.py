"""Linears in eight bits: how near they come, what they weigh, and what is refused."""

from pathlib import Path
from weakref import ref

import pytest
import torch
from dlmd.model import cuda, load, quant
from dlmd.model.fused import FP8
from dlmd.model.quant import QuantisedLinear, quantise
from dlmd.profiles import EMBEDDED_FOLDER
from torch import Tensor, nn

from tests.fakes.tiny import tiny_model_folder


def linears(model: nn.Module) -> dict[str, QuantisedLinear]:
    return {n: m for n, m in model.named_modules() if isinstance(m, QuantisedLinear)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model"))


def tokens(count: int = 40, vocabulary: int = 200) -> Tensor:
    drawn = torch.Generator().manual_seed(3)
    return torch.randint(4, vocabulary, (1, count), generator=drawn)


def distance(model: nn.Module, other: nn.Module, asked: Tensor) -> float:
    """How far `other`'s logits lie from `model`'s, as a share of their size."""
    with torch.no_grad():
        logits = model(asked)
        return float((other(asked) - logits).norm() / logits.norm())


# ---- a model


@pytest.mark.parametrize(("scheme", "bound"), [("int8", 0.04), ("fp8", 0.12)])
def test_a_quantised_model_answers_nearly_alike(
    folder: Path, scheme: str, bound: float
) -> None:
    far = distance(load(folder), load(folder, quantise=scheme), tokens())
    assert 0 < far < bound


@pytest.mark.parametrize("scheme", quant.SCHEMES)
def test_loading_in_eight_bits_is_turning_what_was_loaded(
    folder: Path, scheme: str
) -> None:
    turned = quantise(load(folder), scheme).state_dict()
    loaded = load(folder, quantise=scheme).state_dict()
    assert turned.keys() == loaded.keys()
    for name, value in loaded.items():
        assert torch.equal(turned[name].view(torch.uint8), value.view(torch.uint8))


def test_published_names_stay_and_scales_stand_beside_them(folder: Path) -> None:
    plain, small = load(folder).state_dict(), load(folder, quantise="int8").state_dict()
    assert plain.keys() <= small.keys()
    assert all(name.endswith(".scale") for name in small.keys() - plain.keys())
    assert {name.removesuffix("scale") + "weight" for name in small.keys() - plain.keys()} == {
        f"{name}.weight" for name in linears(load(folder, quantise="int8"))
    }  # fmt: skip


def test_every_linear_of_the_layers_and_the_head_is_turned(folder: Path) -> None:
    model = load(folder, quantise="fp8")
    kinds = {name: linear.weight.dtype for name, linear in linears(model).items()}
    assert kinds.pop("lm_head", torch.int8) == torch.int8  # its inputs stay as they are
    assert set(kinds.values()) == {FP8}
    assert len(kinds) == 7 * len(model.model.layers)


def test_a_tied_head_stays_the_embedding(tmp_path: Path) -> None:
    model = load(tiny_model_folder(tmp_path, tied=True), quantise="int8")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.lm_head.weight.dtype == torch.float32


def test_no_more_than_one_weight_is_there_in_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive_at_each: list[int] = []
    seen: list[ref[Tensor]] = []
    original = quant.packed

    def packed(weight: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
        alive_at_each.append(sum(earlier() is not None for earlier in seen))
        seen.append(ref(weight))
        return original(weight, kind)

    monkeypatch.setattr(quant, "packed", packed)
    load(folder, quantise="int8")
    assert len(alive_at_each) > 10
    assert max(alive_at_each) <= 1


def test_weights_in_pieces_are_weights_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.randn(50, 48, generator=torch.Generator().manual_seed(0))
    whole = quant.packed(weight, torch.int8)
    monkeypatch.setattr(quant, "PIECE", 7 * 48)
    pieces = quant.packed(weight, torch.int8)
    assert torch.equal(whole[0], pieces[0])
    assert torch.equal(whole[1], pieces[1])


@pytest.mark.parametrize("scheme", quant.SCHEMES)
def test_what_is_held_is_a_quarter_of_float32(folder: Path, scheme: str) -> None:
    for linear in linears(load(folder, quantise=scheme)).values():
        assert linear.weight.element_size() == 1
        assert linear.weight.shape == (linear.out_features, linear.in_features)


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "bound"), [("int8", 0.03), ("fp8", 0.1)])
def test_the_embedded_model_in_eight_bits(scheme: str, bound: float) -> None:
    plain, small = load(EMBEDDED_FOLDER), load(EMBEDDED_FOLDER, quantise=scheme)
    asked = tokens(count=256, vocabulary=4096)
    assert distance(plain, small, asked) < bound
    weigh = [sum(p.nbytes for p in model.parameters()) for model in (plain, small)]
    assert weigh[1] < weigh[0] / 2  # its head is its embedding, and stays


# ---- a linear


@pytest.mark.parametrize("kind", [torch.int8, FP8])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_linear_gives_nearly_what_its_weights_say(
    kind: torch.dtype, whole: bool, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    plain = nn.Linear(64, 48)
    plain.weight.data = torch.randn(48, 64, generator=generator)
    plain.bias.data = torch.randn(48, generator=generator)
    small = QuantisedLinear(plain, kind, whole=whole)
    weight, scale = quant.packed(plain.weight.data, kind)
    small.weight, small.scale = quant.fixed(weight), quant.fixed(scale)
    x = torch.randn(2, 5, 64, generator=generator).to(dtype)
    with torch.no_grad():
        expected, found = plain(x.float()), small(x)
    assert (found.shape, found.dtype) == ((2, 5, 48), dtype)
    assert (found.float() - expected).norm() / expected.norm() < 0.05
    far = small.plain_weight(torch.float32) - plain.weight
    assert far.norm() / plain.weight.norm() < 0.04


def test_an_empty_row_gives_the_bias() -> None:
    plain = nn.Linear(16, 16)
    small = QuantisedLinear(plain, torch.int8, whole=True)
    weight, scale = quant.packed(plain.weight.data, torch.int8)
    small.weight, small.scale = quant.fixed(weight), quant.fixed(scale)
    assert torch.equal(small(torch.zeros(1, 16))[0], plain.bias.data)


@pytest.mark.parametrize(("rows", "wanted"), [(1, 32), (32, 32), (33, 48), (80, 80)])
@pytest.mark.parametrize("kind", [torch.int8, FP8])
def test_rows_are_padded_to_what_the_library_takes(
    rows: int, wanted: int, kind: torch.dtype
) -> None:
    given = torch.ones(rows, 16).to(kind)
    found = quant.padded(given)
    assert (found.shape, found.dtype) == ((wanted, 16), kind)
    assert (found[:rows].float() == 1).all()
    assert (found[rows:].float() == 0).all()


def test_whether_whole_numbers_pay_is_measured() -> None:
    assert isinstance(quant.faster_whole(rows=8, width=32, repeats=1), bool)


# ---- what is refused


def test_an_unknown_scheme_names_those_there_are(folder: Path) -> None:
    with pytest.raises(ValueError, match="'int3'; give none, int8 or fp8"):
        load(folder, quantise="int3")


@pytest.mark.parametrize(("able", "fits"), [((8, 6), False), ((8, 9), True)])
def test_fp8_needs_a_card_that_computes_it(
    monkeypatch: pytest.MonkeyPatch, able: tuple[int, int], fits: bool
) -> None:
    monkeypatch.setattr(cuda, "capability", lambda device: able)
    if fits:
        assert quant.kind_of("fp8", "cuda:0") == FP8
        return
    with pytest.raises(ValueError, match=r"cuda:0 does not compute .* use int8"):
        quant.kind_of("fp8", "cuda:0")


def test_int8_runs_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "capability", lambda device: (8, 6))
    assert quant.kind_of("int8", "cuda:0") == torch.int8
    assert quant.kind_of("int8", "mps") == torch.int8


# ---- against another's arithmetic


@pytest.mark.slow
def test_int8_weights_are_those_of_torchao() -> None:
    torchao = pytest.importorskip("torchao.quantization")
    plain = nn.Linear(64, 48, bias=False)
    expected = plain.weight.data.clone()
    torchao.quantize_(plain, torchao.Int8WeightOnlyConfig())
    weight, scale = quant.packed(expected, torch.int8)
    theirs = plain.weight.dequantize()
    ours = weight.float() * scale[:, None]
    assert (ours - theirs).abs().max() <= scale.max() * 1.01  # ties and borders


# ---- on a card


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("scheme", quant.SCHEMES)
@pytest.mark.parametrize("rows", [1, 40, 80, 700])
def test_on_a_card_as_on_the_cpu(scheme: str, rows: int) -> None:
    if scheme == "fp8" and torch.cuda.get_device_capability() < quant.FIRST_FP8:
        pytest.skip("this card has no fp8")
    asked = tokens(count=rows, vocabulary=4096)
    on_cpu = load(EMBEDDED_FOLDER, quantise=scheme)
    on_card = load(
        EMBEDDED_FOLDER, quantise=scheme, device="cuda", dtype=torch.bfloat16
    )
    with torch.no_grad():
        expected, found = on_cpu(asked), on_card(asked.cuda()).float().cpu()
    assert (found - expected).norm() / expected.norm() < 0.05
