"""How much honest code would the syntax rules of the sandbox refuse? It should be little.

    .venv/bin/python bench/refused.py [mined/tasks.json …]

Each function of files drawn from the standard library beside this interpreter, and of the tasks
named, stands for a candidate that does the work, in place of a stub that uses nothing: harder than in use, where
whatever the original function uses is allowed. Prints the share refused, and for what. Half
a minute. Must not know the rules.
"""

import argparse
import ast
import json
import random
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dlmd_finetune.sandbox.policy import SIZE, judge
from dlmd_finetune.sandbox.room import PolicyFault
from dlmd_finetune.tasks.inventory import Function, inventory
from dlmd_finetune.tasks.stubs import Edit, apply
from dlmd_finetune.tasks.task import load, text_of

ASIDE = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo"}


def standard(count: int) -> Iterator[tuple[str, str, Function]]:
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(root.rglob("*.py"))
    random.Random(0).shuffle(files)
    for file in files[:count]:
        if ASIDE & set(file.relative_to(root).parts):
            continue
        try:
            text = file.read_text(encoding="utf-8")
            for function in inventory(file.name, text)[0]:
                yield str(file), text, function
        except (UnicodeDecodeError, ValueError):
            continue


def mined(path: Path) -> Iterator[tuple[str, str, Function]]:
    found = load(path)
    wanted = {(task.path, task.function) for task in found.tasks}
    for name in sorted({task.path for task in found.tasks}):
        text = text_of(found.tree, name)
        for function in inventory(name, text)[0]:
            if (name, function.name) in wanted:
                yield name, text, function


def looked_at(functions: Iterator[tuple[str, str, Function]]) -> dict[str, object]:
    told: Counter[str] = Counter()
    total = refused = 0
    for _, text, function in functions:
        hole = function.body
        edit = Edit(name="pass", start=hole.start, end=hole.end, text="pass")
        stub = apply(text, edit)
        if len(text) > SIZE or not readable(stub):
            continue
        total += 1
        outcome = judge(stub, text)
        if isinstance(outcome, PolicyFault):
            refused += 1
            words = outcome.reason.rpartition(": ")[2].split(", ")
            told.update({word.split(" ")[0] for word in words})
    share = round(100 * refused / max(1, total), 1)
    return {
        "functions": total,
        "refused": refused,
        "percent": share,
        "for": dict(told.most_common(25)),
    }


def readable(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", type=Path, nargs="*", help="tasks.json of a dry run")
    parser.add_argument("--files", type=int, default=100, help="of the library")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for path in given.tasks:
        print(json.dumps({str(load(path).repo): looked_at(mined(path))}, indent=1))
    print(json.dumps({"standard library": looked_at(standard(given.files))}, indent=1))


if __name__ == "__main__":
    main()
