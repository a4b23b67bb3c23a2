"""Who answers, and answers that need no model: the right ones, none, and constant ones.

Must not run programs or know scores.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dlmd_finetune.evidence.tasks import Task, constant_text, program, without_function


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    text: str
    tokens: int | None = None
    finish: str = ""
    forwards: int = 0
    order: tuple[int, ...] = ()  # positions in the hole, first committed first
    certainty: tuple[float, ...] = ()  # by which each was committed, 0..1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """`identity` names all that an answer depends on, besides the task and which sample
    it is."""

    name: str
    identity: dict[str, Any]
    answer: Callable[[Task, Sequence[int]], list[Answer]]  # one for each sample
    program: Callable[[Task, str], str] = program


def fixed(name: str, identity: dict[str, Any], text: Callable[[Task], str]) -> Answerer:
    """The same answer in every sample."""

    def answer(task: Task, samples: Sequence[int]) -> list[Answer]:
        return [Answer(text=text(task), finish="stop") for _ in samples]

    return Answerer(name=name, identity=identity, answer=answer)


def canonical() -> Answerer:
    """The right texts: less than 100 % is a fault of the ruler."""
    return fixed("canonical", {"answers": "canonical"}, lambda task: task.reference)


def stub() -> Answerer:
    """The function taken away: more than 0 % is a fault of the ruler."""
    found = fixed("stub", {"answers": "stub"}, lambda task: "")
    return Answerer(
        name=found.name,
        identity=found.identity,
        answer=found.answer,
        program=lambda task, _: without_function(task),
    )


def constant(name: str) -> Answerer:
    return fixed(
        name,
        {"answers": "constant", "line": name},
        lambda task: constant_text(task, name),
    )
