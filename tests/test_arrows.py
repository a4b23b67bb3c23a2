"""The folders are the architecture: who may import whom, proved from syntax trees.

An arrow that is not in the tables below does not exist. Also: what must start
fast (the command line, the language server, the wire) loads no torch.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
ROOTS = {
    "dlmd": REPO / "daemon",
    "dlmd_lsp": REPO / "lsp",
    "dlmd_finetune": REPO / "finetune",
}
# A room is a package or a single file; modules belong to the longest that fits.
ARROWS: dict[str, set[str]] = {
    "dlmd": set(),
    "dlmd.profiles": set(),
    "dlmd.settings": set(),
    "dlmd.wire": set(),
    "dlmd.holes": {"dlmd.wire"},
    "dlmd.terminal": {"dlmd.wire", "dlmd.holes"},
    "dlmd.ask": {"dlmd.wire", "dlmd.settings", "dlmd.terminal", "dlmd.store"},
    "dlmd.flags": {"dlmd.settings"},
    "dlmd.dial_stdio": {"dlmd.wire"},
    "dlmd.logs": {"dlmd.wire"},
    "dlmd.open_page": {"dlmd.wire"},
    "dlmd.service": {"dlmd.wire"},
    "dlmd.bench": {
        "dlmd.wire",
        "dlmd.settings",
        "dlmd.profiles",
        "dlmd.store",
        "dlmd.decode",
        "dlmd.model",
    },
    "dlmd.store": {"dlmd.profiles"},
    # Shows the published interface on top of both; nothing of ours imports it.
    "dlmd.model.hf": {"dlmd.decode", "dlmd.model"},
    "dlmd.model": {"dlmd.profiles"},
    "dlmd.decode": {"dlmd.model", "dlmd.profiles"},
    "dlmd.serve": {
        "dlmd.wire",
        "dlmd.store",
        "dlmd.decode",
        "dlmd.model",
        "dlmd.profiles",
        "dlmd.settings",
    },
    "dlmd_lsp": {"dlmd.wire", "dlmd.settings", "dlmd.profiles", "dlmd_lsp.tuned"},
    # Which adapter a file is asked with is told by the folder they lie in.
    "dlmd_lsp.tuned": {"dlmd.store"},
    "dlmd_finetune": {"dlmd.decode", "dlmd.model", "dlmd.wire", "dlmd.profiles"},
    "dlmd_finetune.sandbox": set(),
    "dlmd_finetune.tasks": {"dlmd_finetune.sandbox"},
    "dlmd_finetune.rl": {
        "dlmd_finetune",
        "dlmd_finetune.tasks",
        "dlmd_finetune.sandbox",
        "dlmd.decode",
        "dlmd.model",
        "dlmd.profiles",
    },
    "dlmd_finetune.choices": {"dlmd_finetune.tasks"},
    "dlmd_finetune.watching": {"dlmd_finetune.rl"},
    "dlmd_finetune.borrowing": {"dlmd.wire"},
    "dlmd_finetune.activation": {"dlmd.profiles", "dlmd.store", "dlmd.wire"},
    "dlmd_finetune.repository": {
        "dlmd_finetune.evidence",
        "dlmd_finetune.sandbox",
        "dlmd_finetune.tasks",
    },
    "dlmd_finetune.rooming": {
        "dlmd_finetune.choices",
        "dlmd_finetune.rl",
        "dlmd_finetune.sandbox",
        "dlmd_finetune.tasks",
    },
    "dlmd_finetune.judging": {
        "dlmd_finetune.rl",
        "dlmd_finetune.evidence",
        "dlmd_finetune.tasks",
        "dlmd.model",
    },
    "dlmd_finetune.tune": {
        "dlmd_finetune",
        "dlmd_finetune.choices",
        "dlmd_finetune.watching",
        "dlmd_finetune.borrowing",
        "dlmd_finetune.activation",
        "dlmd_finetune.rooming",
        "dlmd_finetune.judging",
        "dlmd_finetune.tasks",
        "dlmd_finetune.sandbox",
        "dlmd_finetune.rl",
        "dlmd_finetune.evidence",
        "dlmd.decode",
        "dlmd.model",
        "dlmd.wire",
        "dlmd.profiles",
        "dlmd.store",
    },
    "dlmd_finetune.evidence": {
        "dlmd_finetune.sandbox",
        "dlmd.decode",
        "dlmd.model",
        "dlmd.wire",
        "dlmd.profiles",
        "dlmd.store",
    },
}
ANYTHING = {"dlmd.cli", "dlmd.__main__"}
# Who may import a heavy or a one-purpose package at all, and who only in functions.
OUTSIDE: dict[str, set[str]] = {
    "torch": {"dlmd.bench", "dlmd.decode", "dlmd.model", "dlmd.serve", "dlmd_finetune"},
    "transformers": {"dlmd.model.hf"},
    "peft": {"dlmd.model.lora", "dlmd.model.adapting"},
    "huggingface_hub": {"dlmd.store.hub"},
    "httpx2": {"dlmd.store.hub"},
    "pygls": {"dlmd_lsp"},
    "tree_sitter": {"dlmd_lsp"},
    "starlette": {"dlmd.serve"},
    "uvicorn": {"dlmd.serve"},
    "prometheus_client": {"dlmd.serve"},
}
HEAVY = ("torch", "transformers", "peft")


def module_name(path: Path, root: Path) -> str:
    parts = list(path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path, root): path
    for package, root in ROOTS.items()
    for path in sorted((root / package).rglob("*.py"))
}


def targets(node: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Every dotted name that one statement imports, relative ones resolved."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = module.split(".") if is_package else module.split(".")[:-1]
        keep = len(package) - (node.level - 1)
        stem = [*package[:keep]] if node.level else []
        origin = ".".join([*stem, *([node.module] if node.module else [])])
        for alias in node.names:
            full = f"{origin}.{alias.name}"
            yield full if full in MODULES else origin
    elif isinstance(node, ast.Call) and node.args:
        name = ast.unparse(node.func)
        argument = node.args[0]
        if name.endswith(("import_module", "__import__")) and isinstance(
            argument, ast.Constant
        ):
            yield str(argument.value)


def imports(source: str, module: str, is_package: bool) -> set[str]:
    return {
        target
        for node in ast.walk(ast.parse(source))
        for target in targets(node, module, is_package)
    }


def room(module: str) -> str:
    """The longest prefix with a row of its own; the package itself otherwise."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if (prefix := ".".join(parts[:end])) in ARROWS.keys() | ANYTHING:
            return prefix
    return module


def is_ours(target: str) -> bool:
    return target.split(".")[0] in ROOTS


def within(module: str, rooms: set[str]) -> bool:
    return any(module == r or module.startswith(r + ".") for r in rooms)


def wrong_arrows(module: str, targets_found: set[str]) -> list[str]:
    here = room(module)
    if here in ANYTHING:
        return []
    wrong = []
    for target in sorted(targets_found):
        there = room(target) if is_ours(target) else target.split(".")[0]
        if is_ours(target):
            # "dlmd" itself holds the name and nothing else.
            bad = there not in ARROWS[here] | {here, "dlmd"}
        else:
            bad = there in OUTSIDE and not within(module, OUTSIDE[there])
        if bad:
            wrong.append(f"{module} -> {target}")
    return wrong


def of_file(module: str) -> set[str]:
    path = MODULES[module]
    return imports(path.read_text(), module, path.name == "__init__.py")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_keeps_the_arrows(module: str) -> None:
    assert wrong_arrows(module, of_file(module)) == []


def test_every_file_of_the_core_has_a_row() -> None:
    """A new file directly in daemon/dlmd is a new room: it says whom it may import."""
    top = {m for m in MODULES if m.startswith("dlmd.") and m.count(".") == 1}
    assert top - ARROWS.keys() - ANYTHING == set()


def test_the_tables_hold_no_cycle() -> None:
    def reach(start: str, seen: frozenset[str] = frozenset()) -> set[str]:
        steps = ARROWS[start] - seen
        return steps | {r for s in steps for r in reach(s, seen | steps)}

    assert [r for r in ARROWS if r in reach(r)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dlmd.wire.client", "from dlmd.serve import engine"),
        ("dlmd.wire.client", "from ..serve import engine"),
        ("dlmd.wire.client", "def f():\n    import dlmd.decode.canvas"),
        ("dlmd.decode.canvas", "from dlmd import cli"),
        ("dlmd_lsp.server", "import importlib\nimportlib.import_module('torch')"),
        ("dlmd_lsp.server", "import dlmd.serve.server"),
        ("dlmd.settings", "from transformers import AutoModel"),
        ("dlmd_finetune.sandbox.subprocess", "from dlmd_finetune import evidence"),
    ],
)
def test_a_wrong_arrow_is_seen(module: str, source: str) -> None:
    assert wrong_arrows(module, imports(source, module, is_package=False)) != []


LIGHT = [
    *("dlmd_lsp.server", "dlmd.cli", "dlmd.settings", "dlmd.profiles"),
    *sorted(m for m in MODULES if room(m) in ("dlmd.wire", "dlmd.store")),
]


def heavy_after(code: str) -> str:
    """Which heavy packages are loaded after `code` ran in a fresh interpreter."""
    tail = f"\nimport sys\nprint(sorted(set({HEAVY!r}) & sys.modules.keys()))"
    run = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    assert heavy_after(f"import {module}") == "[]"


@pytest.mark.slow
def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['dlmd', '--help']\n"
        "try:\n    runpy.run_module('dlmd', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    assert heavy_after(code) == "[]"


@pytest.mark.slow
def test_the_heavy_check_can_fail() -> None:
    assert heavy_after("import torch") == "['torch']"
