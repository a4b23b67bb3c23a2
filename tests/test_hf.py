"""The published snippet on transformers' Auto classes, against recorded runs of its own code."""

import json
import shutil
from pathlib import Path
from typing import Any

import dlmd.model.hf
import pytest
import torch
from dlmd.model import load
from transformers import AutoModel, AutoTokenizer

GOLDEN = Path(__file__).parent / "golden"
EMBEDDED = Path(dlmd.model.hf.__file__).parent / "embedded"
RECORDS = json.loads((GOLDEN / "traces.json").read_text())["traces"]
CASES = json.loads((GOLDEN / "tokenizer_cases.json").read_text())
MASK = 511


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint as a hub serves it: with code that must never run."""
    folder = tmp_path_factory.mktemp("repository")
    for file in (GOLDEN / "tiny_dream").iterdir():
        shutil.copy(file, folder)
    config = json.loads((folder / "config.json").read_text())
    names = ("AutoConfig", "AutoModel")
    config["auto_map"] = {name: "modeling_dream.Any" for name in names}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_dream.py").write_text("raise SystemExit('remote code ran')\n")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    model = AutoModel.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=True
    )
    return model.to("cpu").eval()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["name"])
def test_recorded_runs(model: Any, record: dict[str, Any]) -> None:
    canvas = record["initial_state"]
    tokens = record["input_ids"]
    hole = record["entry"].startswith("_sample")  # the published API cannot say it
    if record["seed"] is not None:
        torch.manual_seed(record["seed"])
    mask = record["attention_mask"]
    output = model.diffusion_generate(
        torch.tensor(canvas if hole else tokens),
        attention_mask=None if mask is None else torch.tensor(mask),
        max_new_tokens=0 if hole else len(canvas[0]) - len(tokens[0]),
        output_history=True,
        return_dict_in_generate=True,
        steps=record["steps"],
        eps=record["eps_effective"],
        alg=record["alg"],
        alg_temp=record["alg_temp"],
        temperature=record["temperature"],
        top_p=record["top_p"],
        top_k=record["top_k"],
    )
    assert [state.tolist() for state in output.history] == record["history"]
    assert output.sequences.tolist() == record["history"][-1]


def test_a_tokens_hook_that_writes_the_suffix_gives_the_recorded_infill(
    model: Any,
) -> None:
    """Dream's own way to infill: the public interface only knows masks at the end."""
    record = next(r for r in RECORDS if r["name"] == "infill/entropy/steps16")
    [canvas] = record["initial_state"]
    end = len(canvas) - canvas[::-1].index(MASK)
    suffix = torch.tensor(canvas[end:])
    start = canvas.index(MASK)

    def write(step: int | None, x: torch.Tensor, logits: Any) -> torch.Tensor:
        x[:, end:] = suffix
        return x

    history = model.diffusion_generate(
        torch.tensor([canvas[:start]]),
        max_new_tokens=len(canvas) - start,
        steps=record["steps"],
        eps=record["eps_effective"],
        alg=record["alg"],
        output_history=True,
        return_dict_in_generate=True,
        generation_tokens_hook_func=write,
    ).history
    assert [state.tolist() for state in history] == record["history"]


def test_a_logits_hook_steers(model: Any) -> None:
    def only_seven(step: int, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        logits[..., 7] = 1e4
        return logits

    out = model.diffusion_generate(
        torch.tensor([[1, 2]]),
        max_new_tokens=3,
        steps=3,
        alg="entropy",
        generation_logits_hook_func=only_seven,
    )
    assert out.tolist() == [[1, 2, 7, 7, 7]]


def test_logits_of_padded_rows_are_those_of_our_own_loader(model: Any) -> None:
    plain = load(GOLDEN / "tiny_dream")
    tokens, seen = (
        torch.tensor([[509, 3, MASK], [1, 2, 3]]),
        torch.tensor([[0, 1, 1], [1, 1, 1]]),
    )
    difference = model(tokens, attention_mask=seen).logits - plain(tokens, seen)
    assert difference[seen.bool()].abs().max() == 0


def test_several_sequences_of_one_prompt(model: Any) -> None:
    torch.manual_seed(3)
    out = model.diffusion_generate(
        torch.tensor([[1, 2], [3, 4]]),
        max_new_tokens=4,
        steps=4,
        alg="entropy",
        temperature=1.0,
        num_return_sequences=3,
    )
    assert out[:, :2].tolist() == [[1, 2]] * 3 + [[3, 4]] * 3
    assert (out != MASK).all()


def test_too_short_a_length_says_what_to_give(model: Any) -> None:
    with pytest.raises(ValueError, match="give max_new_tokens"):
        model.diffusion_generate(torch.ones(1, 30, dtype=torch.long))


def test_weights_are_those_of_the_file_and_saved_under_their_names(
    model: Any, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    again, first = load(tmp_path), load(GOLDEN / "tiny_dream")
    for name, tensor in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_a_tied_head_and_its_tokenizer() -> None:
    model = AutoModel.from_pretrained(EMBEDDED, dtype=torch.float32)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    tokens = torch.tensor([[5, 6, 7]])
    assert torch.equal(model(tokens).logits, load(EMBEDDED)(tokens))


@pytest.mark.slow
def test_the_tokenizer_of_the_checkpoints(tmp_path: Path) -> None:
    for file in (GOLDEN / "dream_tokenizer").iterdir():
        shutil.copy(file, tmp_path)
    # transformers numbers control tokens by the size of the vocabulary, and this is a part.
    vocabulary = json.loads((tmp_path / "vocab.json").read_text())
    others = set(range(CASES["vocab_size_base"])) - set(vocabulary.values())
    vocabulary |= {f"(left out {id})": id for id in others}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    added = json.loads((tmp_path / "added_tokens.json").read_text())
    kept = {"lstrip": False, "rstrip": False, "normalized": False, "special": True}
    about = {
        "tokenizer_class": "DreamTokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
        "added_tokens_decoder": {
            str(id): {"content": text, "single_word": False, **kept}
            for text, id in added.items()
        },
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(about))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=True)
    for case in CASES["cases"]:
        assert tokenizer.encode(case["text"]) == case["ids"], case["text"]
        decoded = tokenizer.decode(case["ids"], clean_up_tokenization_spaces=False)
        assert decoded == case["decoded"]
