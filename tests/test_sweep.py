"""Temperature against order: the whole command on a tiny model, and figures by hand."""

import json
from pathlib import Path

import platformdirs
import pytest
from dlmd_finetune.evidence.formats import read_tasks
from dlmd_finetune.evidence.pictures import curves, heat
from dlmd_finetune.evidence.statistics import Interval
from dlmd_finetune.evidence.sweep import OrderConfig, analysed, main

from tests.fakes.infilling import sample_rows, write_rows
from tests.fakes.tiny import tiny_model_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "sample.jsonl", sample_rows())


@pytest.mark.parametrize("answers", ["canonical", "stub"])
def test_only_a_model_has_an_order(data: Path, answers: str) -> None:
    with pytest.raises(ValueError, match="which commits no tokens; only a model has"):
        OrderConfig(data=data, answers=answers)


def test_pictures_that_could_not_be_written_cost_no_answers(data: Path) -> None:
    config = OrderConfig(data=data, pictures=data / "pictures", model="/nowhere")
    with pytest.raises(ValueError, match=r"cannot write pictures to .*--pictures"):
        main(config)


def test_figures_of_known_answers(data: Path) -> None:
    task = read_tasks(data, "infilling")[0]
    rows = [
        {"task": task.task_id, "text": text, "order": order, "kind": kind}
        | {"certainty": [sure] * len(order), "tokens": 4, "forwards": 8}
        for text, order, kind, sure in (
            ("a", [0, 1, 2, 3], "passed", 1.0),
            ("a", [0, 1, 2, 3], "passed", 1.0),
            ("b", [3, 2, 1, 0], "failed", 0.05),
            ("c", [0, 1, 2, 3], "failed", 0.05),
        )
    ]
    found = analysed([task], rows, [1, 2], seed=0)
    assert found["local@1"].value == 0.75
    assert found["global@1"].value == pytest.approx((3 + 1 / 4) / 4)
    assert found["orders"].value == 0.5 and found["bodies"].value == 0.75
    assert found["pass@1"].value == 0.5 and found["pass@2"].value == pytest.approx(
        5 / 6
    )
    assert found["tokens a forward"] == 0.5
    assert found["calibration error"] == pytest.approx(0.025)


def test_figures_do_not_depend_on_which_program_ended_first(data: Path) -> None:
    tasks = read_tasks(data, "infilling")[:4]
    rows = [
        {"task": task.task_id, "sample": n, "text": f"{n}", "order": [n, 1 - n]}
        | {"kind": "passed" if n == m % 2 else "failed", "certainty": [0.5, 0.25 * m]}
        | {"tokens": 2, "forwards": 2 + m}
        for m, task in enumerate(tasks)
        for n in (0, 1)
    ]
    assert analysed(tasks, rows, [1], seed=0) == analysed(
        tasks, rows[::-1], [1], seed=0
    )


@pytest.mark.slow
def test_the_command(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    config = OrderConfig(
        data=data,
        model=str(tiny_model_folder(tmp_path / "tiny")),
        device="cpu",
        length="12",
        temperatures="0.5,1.5",
        samples=3,
        k="1,3",
        limit=2,
        pictures=tmp_path / "pictures",
        json=True,
    )
    assert main(config) == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures["temperatures"]) == ["0.5", "1.5"]
    for each in figures["temperatures"].values():
        assert 0 <= each["local@1"]["low"] <= each["local@1"]["value"] <= 1
        assert each["global@4"]["value"] >= each["global@1"]["value"]
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [
        *("arness.svg", "diversity.svg", "order-0.5.svg", "order-1.5.svg", "pass.svg")
    ]
    assert main(config) == 0  # kept, and the same
    assert json.loads(capsys.readouterr().out) == figures


@pytest.mark.parametrize("wrong", ["", "0", "hot", "0.2,,1"])
def test_temperatures_that_are_none(data: Path, wrong: str) -> None:
    with pytest.raises(ValueError, match="expected numbers above 0"):
        _ = OrderConfig(data=data, temperatures=wrong).heats


def test_pictures_show_every_point() -> None:
    sure = Interval(value=0.5, low=0.4, high=0.6)
    drawn = curves("a < b", "x", {"one": {0.2: sure, 1.0: sure}, "two": {1.0: sure}})
    assert drawn.count("<polyline") == 2 and drawn.count('<path stroke="') == 3
    assert "a &lt; b" in drawn
    cells = heat("t", "x", "y", [[0.0, 1.0], [1.0, 0.0]])
    assert cells.count("<rect") == 4 and 'fill-opacity="1.000"' in cells
