"""From the lines that a worker's child wrote to an outcome. Pure.

Each line begins with the child's nonce, told first; a line without it was not written
by the loop over the tests, and makes the whole a fault. Tests are numbered in the order
in which they were asked for. It must not know processes or rooms.
"""

from dataclasses import dataclass

from dlmd_finetune.sandbox.room import PolicyFault, Score

NONCE = 32


@dataclass(frozen=True, slots=True)
class Reading:
    score: Score
    changed: frozenset[str]  # what the run replaced in pytest, the tests or modules
    cold: bool = False  # nothing was run: a fork of the collected tests could not


def read(said: str, asked: tuple[str, ...]) -> Reading | PolicyFault:
    if said == "cold\n":
        return Reading(Score((), asked), frozenset(), cold=True)
    lines = said.split("\n")
    whole = lines[:-1]  # what a killed child had begun to say does not count
    if not whole:
        return Reading(Score((), asked), frozenset())
    nonce, _, first = whole[0].partition(" ")
    if len(nonce) != NONCE or first != "hello":
        return PolicyFault("something else than the loop over the tests reported")
    passed, changed = set(), set()
    for number, line in enumerate(whole[1:]):
        words = line.split(" ")
        if words[0] != nonce:
            return PolicyFault("something else than the loop over the tests reported")
        match words[1:]:
            case ["foul", what]:
                return PolicyFault(f"reached for the test runner by {what}")
            case ["passed" | "failed" as how, place] if place == str(number):
                if how == "passed" and number < len(asked):
                    passed.add(asked[number])
            case ["changed", what]:
                changed.add(what)
            case ["end"]:
                pass
            case _:
                return PolicyFault("the report of its tests is not in order")
    return Reading(score(asked, passed), frozenset(changed))


def score(asked: tuple[str, ...], passed: set[str]) -> Score:
    return Score(
        tuple(name for name in asked if name in passed),
        tuple(name for name in asked if name not in passed),
    )
