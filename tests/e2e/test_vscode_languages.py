"""One short scenario for each language: typed, drawn, taken, saved byte for byte."""

import pytest

from tests.e2e.vscode_desk import Desk

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

# Name of the file, its text with the cursor as |, what is typed there, what is suggested.
CASES = [
    ("mean.py", "def mean(xs):\n    |\n", "return ", "sum(xs) / len(xs)"),
    (
        "mean.ts",
        "function mean(xs: number[]): number {\n  |\n}\n",
        "return ",
        "xs.reduce((a, b) => a + b, 0) / xs.length;",
    ),
    (
        "mean.go",
        "package stats\n\nfunc Mean(xs []float64) float64 {\n\t|\n}\n",
        "return ",
        "sum(xs) / float64(len(xs))",
    ),
    (
        "mean.rs",
        "fn mean(xs: &[f64]) -> f64 {\n    |\n}\n",
        "let n = ",
        "xs.len() as f64;",
    ),
    (
        "mean.cpp",
        "double mean(const std::vector<double>& xs) {\n    |\n}\n",
        "return ",
        "sum(xs) / xs.size();",
    ),
    (
        "Mean.java",
        "class Mean {\n    static double of(double[] xs) {\n        |\n    }\n}\n",
        "return ",
        "sum(xs) / xs.length;",
    ),
]


@pytest.mark.parametrize(
    "name, text, typed, fill", CASES, ids=[case[0] for case in CASES]
)
def test_language(desk: Desk, name: str, text: str, typed: str, fill: str) -> None:
    table = {text.partition("|")[0] + typed: fill for _, text, typed, fill in CASES}
    if desk.table != table:
        desk.serve(table)
    window = desk.window
    before, _, after = text.partition("|")
    line = before.count("\n") + 1
    path = desk.edit(name, (before + after).encode(), line)
    window.type(typed)
    window.until_ghost(fill)
    window.press("Tab")
    assert window.save(path).decode() == before + typed + fill + after
    window.assert_quiet()
