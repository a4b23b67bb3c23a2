"""How the holes of a request find their length: one small interface, picked by profile.

A policy lays the masks out before the first step, may give a decoder rules to keep at
each step, and may go on from a state other than the decoder left. So every decoder works
with every policy. Must not know text, requests or how a step is made.
"""

from collections.abc import Generator as Run
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dlmd.decode.canvas import Canvas
from dlmd.decode.length_padding import Padding
from dlmd.decode.length_search import Search
from dlmd.decode.length_tokens import Labels
from dlmd.decode.loop import Ending
from dlmd.model import Dream
from dlmd.profiles import Profile

States = Run[Canvas, Canvas | None, None]


class Lengths(Protocol):
    def begin(
        self, model: Dream, canvas: Canvas, holes: Sequence[range]
    ) -> tuple[Canvas, tuple[range, ...]]:
        """The canvas to start from, and where its holes lie. `holes` are all there are,
        each with as many masks as it may ever hold."""

    def ending(self) -> Ending | None:
        """What the decoder keeps to at each step."""

    def follow(self, states: States) -> States:
        """The states to show; the run goes on from these."""


@dataclass(frozen=True, slots=True)
class Given:
    """Every hole has the length it was asked for."""

    def begin(
        self, model: Dream, canvas: Canvas, holes: Sequence[range]
    ) -> tuple[Canvas, tuple[range, ...]]:
        return canvas, tuple(holes)

    def ending(self) -> None:
        return None

    def follow(self, states: States) -> States:
        return states


def lengths_of(profile: Profile, auto: Sequence[range]) -> Lengths:
    """The policy of a request whose holes `auto` may find their own length."""
    if profile.length_policy == "expand" and profile.expand_id is not None:
        nothing = {*profile.pad_ids, profile.eos_id} - {None}
        # Also without such a hole: the labels are then no choice anywhere.
        return Labels(
            holes=auto,
            expand_id=profile.expand_id,
            delete_ids=sorted(token for token in nothing if token is not None),
            mask_id=profile.mask_id,
        )
    if auto and profile.length_policy == "padding":
        return Padding(holes=auto, pad_ids=profile.pad_ids)
    if auto and profile.length_policy == "calibrated":
        return Search(holes=auto, void_id=void(profile))
    return Given()


def void(profile: Profile) -> int:
    """A token that draws as nothing."""
    known = (*profile.pad_ids, profile.eos_id, profile.bos_id)
    return next(token for token in known if token is not None)
