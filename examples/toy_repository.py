"""Writes a small repository whose functions keep to a convention that no model has seen.

    python examples/toy_repository.py FOLDER
    dlmd tune FOLDER --dry-run

Every function works something out and gives it back the house's way: `--form plain` under
the one name that the house has for it, `less` with its sign turned, `list` in a list of
one. The hole that `dlmd tune` cuts is that last line, so there is something to learn, in a
handful of tokens, that holds for functions never seen. The same arguments write the same
bytes; the commits are dated, so that the split by time is the same as well.
"""

import argparse
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

FILES, EACH, CASES = 48, 3, 5
START = 1_700_000_000  # seconds; one day from commit to commit
WORDS = """apple anchor badge barrel basket beacon bench blanket bottle bridge bucket button cable
candle canvas carpet castle chapel chisel circle clock cloud coffee copper corner cotton cradle
crystal curtain desert diamond dinner dragon engine falcon feather fence ferry fiddle finger flag
flower forest fountain garden garlic glacier glove grape hammer harbor harvest helmet hollow honey
island jacket jungle kettle kitten ladder lantern lemon letter lizard magnet mantle marble market
meadow mirror mitten monkey mortar needle nickel number orange orchid oyster paddle palace panel
paper parrot pebble pencil pepper pigeon pillow planet pocket potato prairie prism puzzle quarry
rabbit radish ribbon river rocket saddle salmon sandal satchel scarf shadow shovel signal silver
spider spiral spring statue stream summer sunset tablet temple thimble thunder ticket timber tunnel
turtle valley velvet vessel violin walnut willow window winter wizard zipper"""
NOUNS = WORDS.split()
NAME = "depth"
FORMS = {"plain": NAME, "less": f"-{NAME}", "list": f"[{NAME}]"}
BUILTINS = ("abs", "max", "min")


def expression(draw: random.Random, depth: int) -> str:
    """Something whole numbers give, never dividing."""
    kind = draw.randint(0, 5) if depth else draw.randint(0, 1)
    if kind == 0:
        return NAME
    if kind == 1:
        return str(draw.randint(2, 9))
    if kind == 2:
        return f"abs({expression(draw, depth - 1)})"
    left, right = (expression(draw, depth - 1) for _ in range(2))
    if kind == 3:
        return f"{draw.choice(BUILTINS[1:])}({left}, {right})"
    return f"({left} {draw.choice('+-*')} {right})"


def useful(draw: random.Random) -> str:
    """One that changes with its name, and says something."""
    while True:
        text = expression(draw, 3)
        values = {eval(text, {NAME: n}) for n in range(-6, 7)}
        if len(values) > 8 and 9 < len(text) < 40:
            return text.removeprefix("(").removesuffix(")") if bare(text) else text


def bare(text: str) -> bool:
    """Whether its outer brackets are one pair."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and place < len(text) - 1:
            return False
    return text.startswith("(")


def function(draw: random.Random, name: str, form: str) -> tuple[str, str]:
    """One function, and its test."""
    border, work, other = draw.randint(-4, 4), useful(draw), useful(draw)
    # On one line, so that only the last one is a hole.
    source = (
        f"def {name}({NAME}):\n"
        f"    if {NAME} > {border}: {NAME} = {work}\n"
        f"    else: {NAME} = {other}\n"
        f"    return {FORMS[form]}\n"
    )
    known: dict[str, object] = {}
    exec(source, known)
    inputs = draw.sample(range(border - 9, border + 10), CASES)
    cases = [(n, known[name](n)) for n in inputs]  # type: ignore[operator]
    test = (
        f'@pytest.mark.parametrize("given, wanted", {cases})\n'
        f"def test_{name}(given, wanted):\n"
        f"    assert {name}(given) == wanted\n"
    )
    return source, test


def module(draw: random.Random, names: list[str], form: str) -> tuple[str, str]:
    parts = [function(draw, name, form) for name in names]
    source = "\n\n".join(source for source, _ in parts)
    tests = "\n\n".join(test for _, test in parts)
    return source, tests


def write(folder: Path, seed: int, form: str) -> None:
    """ValueError when there is something already."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; name a folder to be made")
    draw = random.Random(seed)
    pairs = [f"{a}_{b}" for a in NOUNS for b in NOUNS if a < b]
    names = draw.sample(pairs, FILES * EACH)
    for part in ("house", "tests"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "house/__init__.py").write_text("")
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    commit = git(folder)
    commit("begin", 0)
    for number in range(FILES):
        mine = names[number * EACH : (number + 1) * EACH]
        title = NOUNS[number]
        source, tests = module(draw, mine, form)
        (folder / f"house/{title}.py").write_text(source)
        head = f"import pytest\n\nfrom house.{title} import {', '.join(mine)}\n\n\n"
        (folder / f"tests/test_{title}.py").write_text(head + tests)
        commit(f"add {title}", 1 + number)


def git(folder: Path) -> Callable[[str, int], None]:
    """A function that commits everything, on a day of its own."""
    program = shutil.which("git")

    def run(*arguments: str, day: int = 0) -> None:
        date = f"{START + 86_400 * day} +0000"
        env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        env |= {f"GIT_{who}_NAME": "toy" for who in ("AUTHOR", "COMMITTER")}
        env |= {f"GIT_{who}_EMAIL": "toy@example" for who in ("AUTHOR", "COMMITTER")}
        env |= {f"GIT_{who}_DATE": date for who in ("AUTHOR", "COMMITTER")}
        line = [str(program), "-C", str(folder), *arguments]
        subprocess.run(line, check=True, env=env, capture_output=True)

    def commit(message: str, day: int) -> None:
        if program:
            run("add", "-A")
            run("commit", "-q", "-m", message, day=day)

    if program:
        run("init", "-q", "-b", "main")
    return commit


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description="Write a toy repository.")
    asked.add_argument("folder", type=Path)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--form", choices=FORMS, default="plain")
    given = asked.parse_args()
    write(given.folder, given.seed, given.form)
