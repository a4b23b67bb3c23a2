"""Reports as tables for people. Must not know how anything was measured."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from dlmd.bench.agreement import Agreement
from dlmd.bench.places import SHARES
from dlmd.bench.runs import (
    AgreementReport,
    BusyReport,
    GridReport,
    Report,
)
from dlmd.bench.shaped import ShapeReport
from dlmd.bench.summary import Subject, Summary

WIDTH = 110


def usual_text(report: Report) -> str:
    table = Table("", *SHARES, title="dlmd bench", title_justify="left")
    for name, summary in (("new document", report.cold), ("next key", report.warm)):
        for what, times in timed(summary):
            table.add_row(
                f"{name}, {what}", *(f"{times[share]:.0f} ms" for share in SHARES)
            )
    if report.cancel_ms is not None:
        cells = (f"{report.cancel_ms[share]:.0f} ms" for share in SHARES)
        table.add_row("cancel", *cells)
    low, high = report.context_tokens
    lines = [
        f"{report.infills} infills one after another, {low} to {high} tokens around "
        f"each; the first request took {report.first_request_ms:.0f} ms",
        f"a fill on average: {work(report.cold)}",
    ]
    if report.limits is not None and report.share_of_limit is not None:
        lines.append(
            f"{report.share_of_limit:.0%} of the machine's limit "
            f"({report.limits.matrix_tflops * 1000:.0f} GFLOP/s, "
            f"{report.limits.memory_gbs:.0f} GB/s, measured just now)"
        )
    if report.agreement is not None:
        agreed = report.agreement
        lines.append(
            f"agreement with exact mode on {agreed.holes} of them: "
            f"{agreed.same_tokens:.1%} of tokens, {agreed.same_holes:.1%} of fills"
        )
    return drawn(table) + "\n".join([*about(report.subject), *lines])


def busy_text(report: BusyReport) -> str:
    table = Table("", *SHARES, title="dlmd bench --busy", title_justify="left")
    for name, summary in (("idle", report.idle), ("busy", report.busy)):
        for what, times in timed(summary):
            table.add_row(
                f"{name}, {what}", *(f"{times[share]:.0f} ms" for share in SHARES)
            )
    lines = (
        f"busy: {report.processes} other processes compute without end",
        f"{report.infills} infills in each state, in turns; busy takes "
        f"{report.total_ratio:.2f} times as long as idle ({report.first_state_ratio:.2f} "
        "to the first state), medians",
        f"afterwards the daemon sees {report.sees_after} tokens of a document",
    )
    return drawn(table) + "\n".join([*about(report.subject), *lines])


def agreement_text(report: AgreementReport) -> str:
    table = Table(
        *("mode", "same tokens", "same fills", "tokens/forward"),
        *("full forwards", "p50", "exact p50"),
        title="dlmd bench --agreement",
        title_justify="left",
    )
    for row in report.modes:
        table.add_row(*compared(row))
    where = ", ".join(report.files) or "the standard library"
    holes = report.modes[0].holes
    lines = (
        f"{holes} holes in {where}; exact mode at one token a step is the measure, and "
        "full forwards are a share of its own",
    )
    return drawn(table) + "\n".join([*about(report.subject), *lines])


def compared(row: Agreement) -> Sequence[str]:
    return (
        row.mode,
        f"{row.same_tokens:.1%}",
        f"{row.same_holes:.1%}",
        f"{row.tokens_per_forward:.2f}",
        f"{row.full_forwards:.0%}",
        f"{row.total_ms_p50:.0f} ms",
        f"{row.exact_ms_p50:.0f} ms",
    )


def grid_text(report: GridReport) -> str:
    table = Table(
        *("context", "hole", "split", "first p50", "total p50"),
        *("full", "cached", "tokens/forward"),
        title="dlmd bench --grid",
        title_justify="left",
    )
    for point in report.points:
        told = point.summary
        table.add_row(
            str(point.context),
            str(point.hole),
            split(point.prefix),
            f"{told.first_state_ms['p50']:.0f} ms",
            f"{told.total_ms['p50']:.0f} ms",
            f"{told.forwards_full:.1f}",
            f"{told.forwards_cached:.1f}",
            f"{told.tokens_per_forward:.2f}",
        )
    lines = f"{report.infills} infills a row"
    return drawn(table) + "\n".join([*about(report.subject), lines])


def shape_text(report: ShapeReport) -> str:
    table = Table(
        *("context", "hole", "split", "first state", "of limit", "cached step"),
        *("p95", "of limit", "total", "exact step"),
        title=f"dlmd bench --shape {report.shape}",
        title_justify="left",
    )
    for cell in report.cells:
        table.add_row(
            str(cell.context),
            str(cell.hole),
            split(cell.prefix),
            f"{cell.first_ms:.1f} ms",
            f"{cell.first_of_limit:.0%}",
            f"{cell.step_ms:.1f} ms",
            f"{cell.step_p95_ms:.1f} ms",
            f"{cell.step_of_limit:.0%}",
            "cut off" if cell.total_ms is None else f"{cell.total_ms:.0f} ms",
            f"{cell.exact_step_ms:.1f} ms",
        )
    limits = report.limits
    lines = (
        f"random weights, {report.parameters / 1e6:.0f}M parameters, {limits.dtype} on "
        f"{limits.device}; one token a step, one full forward",
        f"the machine's limits: {limits.matrix_tflops * 1000:.0f} GFLOP/s, "
        f"{limits.memory_gbs:.1f} GB/s, measured just now",
        boxed(report.box),
    )
    return drawn(table) + "\n".join(lines)


def about(subject: Subject) -> list[str]:
    length = (
        f"holes of {subject.hole_tokens} tokens"
        if subject.hole_tokens
        else "holes of their own length"
    )
    return [
        f"model {subject.model}, {subject.dtype} on {subject.device}, mode {subject.mode}, "
        f"{length}; the daemon sees {subject.sees} tokens of a document",
        boxed(subject.box),
    ]


def boxed(box: dict[str, str | int | float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in box.items())


def timed(summary: Summary) -> Sequence[tuple[str, dict[str, float]]]:
    return ("first state", summary.first_state_ms), ("whole fill", summary.total_ms)


def work(summary: Summary) -> str:
    return (
        f"{summary.forwards_full:.1f} full forwards, {summary.forwards_cached:.1f} cached, "
        f"{summary.tokens_per_forward:.2f} tokens a forward, median of "
        f"{summary.fill_tokens_p50:g} tokens"
    )


def split(prefix: float) -> str:
    return f"{prefix * 100:.0f}:{(1 - prefix) * 100:.0f}"


def drawn(table: Table) -> str:
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
