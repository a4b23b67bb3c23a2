"""What a room is: candidates go in, one of three outcomes comes out.

A room runs candidates, each one file of the repository with one function changed,
against tests of the repository, and says which passed. It is asked for by name
(`bubblewrap`, `e2b`, `subprocess`) and never stands in for another one. It must not
know models, tasks or rewards.

    with open_room("bubblewrap", tree, python) as room:
        outcomes = room.evaluate(candidates)      # warm: collected once, forked for each
        outcome = room.confirm(candidates[0])     # cold: imported anew, files from disk
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    path: str  # of the changed file, relative to the repository, with "/"
    text: str  # the whole new file
    node_ids: tuple[str, ...]  # the tests that count, as pytest names them
    timeout_s: float  # for all of them together


@dataclass(frozen=True, slots=True)
class Score:
    """Each expected test once; what did not report, or was skipped, has failed."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyFault:
    """The candidate broke a rule: it counts as a try that earned nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class InfraFault:
    """The room failed, after its own retries: to be dropped, never to be rewarded."""

    reason: str


Outcome = Score | PolicyFault | InfraFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """For one candidate and all processes that it starts."""

    processes: int = 64
    memory_mb: int = 2048
    file_mb: int = 64  # for each file, and for all of /tmp
    opening_s: float = 120.0  # to start Python and collect the tests


class Room(Protocol):
    def evaluate(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """Warm; outcomes in the order of the candidates."""

    def confirm(self, candidate: Candidate) -> Outcome:
        """Cold, for a candidate that would be rewarded."""

    def confirm_all(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """The same of many, in their order."""
