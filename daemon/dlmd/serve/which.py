"""Which model a word means: a name from the table, `auto`, or from the settings also a path.

Answers from the disk at once; only where a pulled 7B waits does `auto` ask the device, and
that only on the engine's thread. What comes over the wire is a name and never a path. Must
not open weights.
"""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from dlmd.profiles import EMBEDDED_FOLDER, Profile, find, for_folder
from dlmd.store import automatic, shelf
from dlmd.store.catalogue import sized


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    name: str  # as a status says it: from the table, or the path of a user's folder
    folder: Path
    profile: Profile
    eight_bits: bool = False  # there is room for it only so


def named(word: str) -> Chosen:
    """The model of a name; all that a client may ask for."""
    if word == "auto":
        word = automatic.candidate()
    profile = shelf.profile(word)
    if profile.repository is None:
        return Chosen(name=profile.name, folder=EMBEDDED_FOLDER, profile=profile)
    folder = shelf.find(profile.name)
    if folder is None:
        raise ValueError(
            f"{profile.name} is not here; type `dlmd pull {profile.name}` "
            f"({sized(profile.size)}, licence: {profile.licence})"
        )
    return Chosen(name=profile.name, folder=folder, profile=for_folder(folder))


def configured(word: str) -> Chosen:
    """The model of a setting: a name, or the path of a folder."""
    path = Path(word).expanduser()
    is_path = not is_name(word) and (path.exists() or "/" in word)
    if not is_path:
        return named(word if word == "auto" else find(word).name)
    return Chosen(name=str(path), folder=path, profile=for_folder(path))


def is_name(word: str) -> bool:
    with contextlib.suppress(ValueError):
        return word == "auto" or bool(find(word))
    return False


def with_room(word: str, device: str, *, eight_bits: bool = False) -> Chosen:
    """The same, once the device may be asked: `auto` takes the 7B only where it fits."""
    if word != "auto":
        return configured(word)
    choice = automatic.choose(lambda: room(device), eight_bits=eight_bits)
    return replace(named(choice.name), eight_bits=choice.eight_bits)


def room(device: str) -> int | None:
    """Free bytes of the accelerator that `device` stands for; None where it is a CPU."""
    import torch

    from dlmd.model import cuda

    picked = cuda.choose(device)
    if picked == "mps":
        ours = torch.mps.driver_allocated_memory()
        return int(torch.mps.recommended_max_memory() - ours)
    memory = cuda.memory(picked)
    return None if memory is None else memory.free
