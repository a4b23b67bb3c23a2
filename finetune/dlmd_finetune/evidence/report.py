"""The report of a tuning run: one HTML page with its figures drawn in, and no scripts.

Made from numbers that are kept beside it. Must not know models, rooms or how anything was
measured.
"""

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
    "figure{display:inline-block;margin:.5em}svg{max-width:100%;height:auto}"
    ".word{font-size:1.6em;font-weight:600}pre{background:#f6f6f6;padding:.6em}"
)
SHOWN = 12  # fills that are printed


def page(
    found: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    warm: Sequence[Mapping[str, Any]],
    mined: Any,
) -> str:
    parts = [
        f"<h1>Tuning on {esc(mined.repo)}</h1>",
        f"<p class=word>{esc(found['verdict'])}</p>",
        "".join(f"<p>{esc(reason)}.</p>" for reason in found["reasons"]),
        models_table(found),
        comparisons_table(found),
        elsewhere(found),
        "".join(f"<figure>{drawing}</figure>" for drawing in drawings(found, steps, warm, mined)),
        funnel_table(mined),
        notes(found, mined, steps),
        fills(found),
    ]  # fmt: skip
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>dlmd tune</title>"
        f"<style>{STYLE}</style><body>{body}</body></html>\n"
    )


def esc(value: object) -> str:
    return html.escape(str(value))


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    top = "".join(f"<th>{esc(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{esc(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{top}</tr>{lines}</table>"


def models_table(found: Mapping[str, Any]) -> str:
    rows = []
    for name, each in found["models"].items():
        order = [each.get("local_arness"), each.get("global_arness")]
        rows.append(
            [
                name,
                percent(each["pass_at_1"]),
                percent(each["greedy_1"]),
                percent(each["greedy_2"]),
                percent(each["exact"]),
                *("-" if value is None else f"{value:.2f}" for value in order),
            ]
        )
    head = (
        "model",
        "pass@1",
        "greedy, 1 token a step",
        "greedy, 2 tokens",
        "word for word",
        "local AR-ness",
        "global AR-ness",
    )
    count = len(found["tasks"])
    return f"<h2>On {count} held-out tasks</h2>" + table(head, rows)


def comparisons_table(found: Mapping[str, Any]) -> str:
    names = {
        "tuned": "tuned against base",
        "warm": "warm start against base",
        "beyond_warm": "tuned against warm start",
    }
    rows = []
    for key, each in found["comparisons"].items():
        low, high = (100 * each["difference"][end] for end in ("low", "high"))
        rows.append(
            [
                names[key],
                f"{100 * each['difference']['value']:+.1f}",
                f"{low:+.1f} to {high:+.1f}",
                f"{each['p']:.4f}",
                each["word"],
            ]
        )
    head = ("pass@1, points", "change", "interval", "p", "by itself")
    told = (
        f"<p>Paired by task; whole files are resampled, and their signs flipped. This was "
        f"look {found['looks']} at these tasks, and the level is divided by it.</p>"
    )
    return told + table(head, rows)


def elsewhere(found: Mapping[str, Any]) -> str:
    rows = [
        [name, f"{each['nats']:.3f}", percent(each["passes"])]
        for name, each in found["foreign"].items()
    ]
    nats, passes = found["foreign_nats"], found["everyday_passes"]
    rows.append(
        [
            "change, lower bound",
            f"{nats['value']:+.3f}, {nats['low']:+.3f}",
            f"{100 * passes['value']:+.1f}, {100 * passes['low']:+.1f} points",
        ]
    )
    count = found["foreign_holes"]
    head = (
        f"{count} foreign lines",
        "nats a token (a gain is +)",
        "everyday functions right",
    )
    told = "".join(f"<p>{esc(each)}</p>" for each in powerless(found))
    return "<h2>Elsewhere</h2>" + table(head, rows) + told


def powerless(found: Mapping[str, Any]) -> list[str]:
    """What a check could not have found, whatever was done to the model."""
    if found["foreign"]["base"]["passes"]:
        return []
    return [
        "The model filled none of the everyday functions right before it was tuned, so it "
        "had none to lose and that check says nothing; the foreign lines alone tell."
    ]


def funnel_table(mined: Any) -> str:
    rows = [
        [f"{stage.unit} {stage.name}", stage.left, "; ".join(f"{x.count} {x.reason}" for x in stage.losses)]
        for stage in mined.funnel
    ]  # fmt: skip
    return "<h2>Where tasks come from</h2>" + table(("stage", "left", "lost"), rows)


def notes(
    found: Mapping[str, Any], mined: Any, steps: Sequence[Mapping[str, Any]]
) -> str:
    said = list(mined.notes)
    caught = found["caught"]
    said.append(
        f"Of the last rollouts {percent(caught['audit'])} failed their audit and "
        f"{percent(caught['rules'])} broke a rule "
        f"({percent(caught['rules_at_first'])} of the first step's)."
    )
    if found["left_out"]:
        said.append(
            f"{found['left_out']} held-out tasks were left out, to stay within the budget."
        )
    if steps:
        said.append(f"{len(steps)} steps; every rollout is kept beside this page.")
    return "<h2>Notes</h2>" + "".join(f"<p>{esc(each)}</p>" for each in said)


def fills(found: Mapping[str, Any]) -> str:
    blocks = []
    for n, task in enumerate(found["tasks"][:SHOWN]):
        lines = [f"# {task['path']}: {task['function']}", f"there: {task['original']}"]
        for name, each in found["models"].items():
            text = next(iter(each["texts"][n]), "")
            mark = "passes" if (each["passed"][n] or [False])[0] else "fails"
            lines.append(f"{name} ({mark}): {text}")
        blocks.append("<pre>" + esc("\n".join(lines)) + "</pre>")
    return "<h2>Some fills</h2>" + "".join(blocks)


# ---- drawings


def drawings(
    found: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    warm: Sequence[Mapping[str, Any]],
    mined: Any,
) -> list[str]:
    drawn = [funnel_plot(mined), scatter(found), passes(found)]
    if steps:
        drawn += [curves(steps), times(steps)]
    if warm:
        drawn.append(losses(warm))
    return drawn


def axes(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # a second

    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    plot = figure.subplots()
    plot.set_title(title, fontsize=10)
    plot.tick_params(labelsize=8)
    return figure, plot


def svg(figure: Any) -> str:
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "dlmd"}):
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def funnel_plot(mined: Any) -> str:
    stages = [stage for stage in mined.funnel if stage.unit == "functions"]
    figure, plot = axes("functions that are left")
    plot.barh([s.name for s in stages][::-1], [s.left for s in stages][::-1])
    return svg(figure)


def scatter(found: Mapping[str, Any]) -> str:
    figure, plot = axes("share of right fills, a point for each task")
    before, after = (found["models"][name]["shares"] for name in ("base", "tuned"))
    shift = [
        0.02 * (n % 5 - 2) for n in range(len(before))
    ]  # equal points side by side
    plot.plot([0, 1], [0, 1], color="#bbb", linewidth=1)
    plot.scatter([b + s for b, s in zip(before, shift, strict=True)], after, s=14, alpha=0.6)  # fmt: skip
    plot.set_xlabel("base", fontsize=8)
    plot.set_ylabel("tuned", fontsize=8)
    return svg(figure)


def passes(found: Mapping[str, Any]) -> str:
    figure, plot = axes("pass@k")
    for name, each in found["models"].items():
        ks = [int(k) for k in each["pass_at_k"]]
        plot.plot(ks, list(each["pass_at_k"].values()), marker="o", label=name)
    plot.set_ylim(0, 1)
    plot.set_xlabel("k", fontsize=8)
    plot.legend(fontsize=8)
    return svg(figure)


def curves(steps: Sequence[Mapping[str, Any]]) -> str:
    figure, plot = axes("while learning")
    at = [row["step"] for row in steps]
    plot.plot(at, [row["reward"] for row in steps], label="reward", linewidth=1)
    plot.plot(at, [row["passed"] for row in steps], label="pass rate", linewidth=1)
    dev = [(row["step"], row["dev"]) for row in steps if "dev" in row]
    if dev:
        plot.plot(*zip(*dev, strict=True), marker="o", label="dev pass rate")
    plot.set_ylim(0, 1)
    plot.set_xlabel("step", fontsize=8)
    plot.legend(fontsize=8)
    return svg(figure)


def times(steps: Sequence[Mapping[str, Any]]) -> str:
    figure, plot = axes("seconds of a step")
    at = [row["step"] for row in steps]
    names = ("rollout_s", "learn_s")
    plot.stackplot(
        at,
        *([row[name] for row in steps] for name in names),
        labels=["rollouts and tests", "learning"],
    )
    plot.set_xlabel("step", fontsize=8)
    plot.legend(fontsize=8)
    return svg(figure)


def losses(warm: Sequence[Mapping[str, Any]]) -> str:
    figure, plot = axes("warm start: loss")
    plot.plot([row["step"] for row in warm], [row["loss"] for row in warm], linewidth=1)
    plot.set_xlabel("step", fontsize=8)
    return svg(figure)
