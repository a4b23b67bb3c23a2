"""`dlmd doctor --model`: are these the weights that the table describes, and used rightly?

First the headers of the files, then a little masked code: the loss as the model is set up,
and with one thing set up otherwise. Whatever is wrong with the shift, the rotary base, a
bias or the mask id makes some other setting the better one, whichever model it is. Last,
holes that fill themselves. Must not know how findings are shown.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dlmd.model import read_config
from dlmd.profiles import PROFILES, Profile, Shape, find
from dlmd.serve import manifest, which
from dlmd.serve.backend import ModelBackend
from dlmd.serve.findings import Finding, Grade
from dlmd.serve.lending import borrowed
from dlmd.serve.room import Need, need
from dlmd.serve.sample import HOLES, TEXT
from dlmd.settings import Settings
from dlmd.store import shelf, verify
from dlmd.store.pace import Pace, line
from dlmd.wire.protocol import HolePart, HoleSpec, Infill

if TYPE_CHECKING:
    from dlmd.serve.probe import Probe

Say = Callable[[str], None]
FACTORS = (0.01, 0.1, 10.0, 100.0)  # of the rotary base
BETTER = 0.97  # of the loss: another setting this much better is the right one
AGAIN = "`{command}` checks every file and brings what is not right"
RETRY = "end what else uses the device and check again, or set DLMD_DEVICE=cpu for it"
REPORT = "do not use it: config.json and weights, or the table of models, do not belong together"


def examine(settings: Settings, say: Say, *, hashed: bool = False) -> Iterator[Finding]:
    """One finding after the other; what came of it is remembered of a pulled model.

    `hashed`: the files have just been held against their record.
    """
    if settings.model == "auto":
        served = which.with_room("auto", settings.device)
        settings = replace(settings, model=served.name)
    seen = []
    for each in checks(settings, say, hashed=hashed):
        seen.append(each)
        yield each
    if not which.is_name(settings.model):
        return
    name = find(settings.model).name
    if wrong := [each for each in seen if each.grade == "fault"]:
        shelf.doubt(name, f"{wrong[0].name}: {wrong[0].seen}")
    else:
        shelf.trust(name)


def checks(settings: Settings, say: Say, *, hashed: bool) -> Iterator[Finding]:
    """They end early where going on makes no sense."""
    try:
        chosen = which.configured(settings.model)
        say(f"looking at the files of {chosen.name}")
        yield files(chosen, hashed=hashed)
        table = PROFILES.get(chosen.name, chosen.profile)
        found = tensors(chosen, table)
    except ValueError as error:
        yield Finding(name="files", grade="fault", seen=str(error))
        return
    yield found
    if found.grade == "fault":
        return
    with borrowed(lambda: fits(settings), say) as (fitting, note):
        if isinstance(fitting, Finding):
            yield fitting
            return
        yield Finding(name="memory", grade="ok", seen=f"{fitting.seen}{note}")
        backend = ModelBackend(fitting.settings)
        try:
            yield from loaded(backend, table, say)
        except RuntimeError as error:  # a card that is full, or fell over
            first, *_ = str(error).strip().split("\n")
            seen = f"{type(error).__name__}: {first[:200]}"
            yield Finding(name="load", grade="fault", seen=seen, fix=RETRY)
        finally:
            backend.unload()


def files(chosen: which.Chosen, *, hashed: bool) -> Finding:
    """Are they those that were pulled?"""
    read_config(chosen.folder)
    record = shelf.of_folder(chosen.folder)
    if record is None:
        seen = f"{chosen.folder}; no record says what its files should hash to"
    else:
        if not hashed:
            verify.check(chosen.folder)
        seen = f"{len(record.files)} files of {record.name}, {record.revision[:12]}"
    return Finding(name="files", grade="ok", seen=seen)


def tensors(chosen: which.Chosen, table: Profile) -> Finding:
    """The files' headers against the table's shape, or config.json's where it has none."""
    config = read_config(chosen.folder)
    own = Shape(
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        inner=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        theta=config.rope_theta,
        tied=config.tie_word_embeddings,
    )
    shape = table.shape or own
    found = manifest.headers(chosen.folder)
    wrong = manifest.complaints(found, shape)
    if replace(own, dtype=shape.dtype) != shape:
        wrong.insert(
            0, f"config.json says {told(own)}, the table of models {told(shape)}"
        )
    if chosen.profile.mask_id != table.mask_id:
        wrong.insert(
            0,
            f"config.json names {chosen.profile.mask_id} as the mask id, the table of "
            f"models {table.mask_id}",
        )
    record = shelf.of_folder(chosen.folder)
    if wrong:
        return Finding(
            name="tensors",
            grade="fault",
            seen="; ".join(wrong),
            fix=REPORT if record is None else AGAIN.format(command=shelf.again(record)),
        )
    whose = "the table" if table.shape else "its config.json"
    count = sum(1 for name in found if name != manifest.HEAD or not shape.tied)
    seen = (
        f"{count} with {manifest.parameters(shape):,} parameters, as {whose} has them"
    )
    return Finding(name="tensors", grade="ok", seen=seen)


def told(shape: Shape) -> str:
    return (
        f"{shape.layers} layers of {shape.hidden}/{shape.inner}, {shape.heads}/"
        f"{shape.kv_heads} heads, {shape.vocabulary} tokens, rotary base {shape.theta:g}"
    )


# ---- room for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    settings: Settings
    seen: str


def fits(settings: Settings) -> Fitting | Finding:
    """How it can be loaded now: as it would be served, else in eight bits; or why not."""
    wanted: Need | None = None
    for quantise in dict.fromkeys((settings.quantise, "int8")):
        tried = replace(settings, quantise=quantise)
        now = need(tried)
        wanted = wanted or now
        if now.fits:
            how = "" if quantise == "none" else f", in {quantise}"
            # How much of a document it can read in time is not the question here.
            return Fitting(
                settings=replace(tried, first_state_ms=0.0), seen=now.seen + how
            )
    assert wanted is not None
    return Finding(
        name="memory",
        grade="warning",
        seen=f"{wanted.seen}: the weights were not tried",
        fix="end what takes the memory, or `dlmd doctor --model` where there is room",
    )


# ---- with the weights


def loaded(backend: ModelBackend, table: Profile, say: Say) -> Iterator[Finding]:
    pace, name = Pace(), backend.chosen.name

    def progress(done: int, total: int) -> None:
        rate = pace.rate(done, time.monotonic())
        say(f"{name}: {line('load', done, total, rate)}")

    try:
        backend.load(progress)
    except ValueError as error:
        yield Finding(name="load", grade="fault", seen=str(error))
        return
    from dlmd.serve.probe import Probe

    model, tokenizer = backend.opened()
    # The ids are what requests use; what to expect is the table's to say.
    profile = replace(
        backend.profile,
        loss_ceiling=table.loss_ceiling,
        holes_right=table.holes_right,
        unverified=table.unverified,
    )
    yield from behaviour(Probe.of(model, tokenizer, profile, TEXT), say)
    say(f"{name}: filling {len(HOLES)} holes")
    yield holes(backend, tokenizer, profile)


def behaviour(probe: "Probe", say: Say) -> Iterator[Finding]:
    """What the loss says: as it is set up, and with one thing set up otherwise."""
    say("measuring the loss on a small program")
    here = probe.loss()
    found = ceiling(here, probe)
    yield found
    lost = found.grade == "fault"
    for each in settings_compared(probe, here, say):
        # Of weights that predict nothing no setting is better than another.
        told = lost and each.grade == "ok"
        yield replace(each, grade="warning", seen=f"cannot be told: {each.seen}") if told else each  # fmt: skip


def settings_compared(probe: "Probe", here: float, say: Say) -> Iterator[Finding]:
    """Each setting against others, by the loss."""
    yield compared(
        "shift",
        "row i predicts token i + 1"
        if probe.profile.shifted
        else "row i predicts itself",
        probe.loss(shifted=True),
        {"row i predicts itself": probe.loss(shifted=False)},
        wrong=not probe.profile.shifted,
    )
    say("trying other rotary bases")
    theta = probe.theta
    others = {f"{theta * k:g}": probe.loss(theta=theta * k) for k in FACTORS}
    yield compared("rotary base", f"{theta:g}", here, others)
    say("trying without biases, and other mask ids")
    dead = probe.dead_biases()
    seen = f"{len(dead)} are all zeros, first {dead[0]}" if dead else "all in use"
    without = compared("biases", seen, here, {"none at all": probe.loss(biases=False)})
    yield replace(without, grade="fault", seen=seen, fix=REPORT) if dead else without
    ids = {str(each): probe.loss(mask_id=each) for each in probe.rivals()}
    yield compared("mask id", str(probe.profile.mask_id), here, ids)


def ceiling(here: float, probe: "Probe") -> Finding:
    most, sure = probe.profile.loss_ceiling, ""
    if most is None:
        most, sure = 0.8 * probe.chance, " (four fifths of chance)"
    elif "loss_ceiling" in probe.profile.unverified:
        sure = " (nobody has measured what is usual for it)"
    seen = f"{here:.2f} on {probe.count} masked tokens of code, expected below {most:.2f}{sure}"
    if here <= most:  # not a number is not, either
        return Finding(name="loss", grade="ok", seen=seen)
    return Finding(name="loss", grade="fault", seen=seen, fix=REPORT)


def compared(
    name: str, ours: str, here: float, others: dict[str, float], *, wrong: bool = False
) -> Finding:
    """Ours has to be the best there is, or next to it."""
    best = min(others, key=others.__getitem__, default="")
    if best and not others[best] >= here * BETTER:
        seen = f"{best} suits the weights better than {ours}: loss {others[best]:.2f}, not {here:.2f}"
        return Finding(name=name, grade="fault", seen=seen, fix=REPORT)
    if wrong:
        seen = f"the table says that {ours}, and the weights say otherwise"
        return Finding(name=name, grade="fault", seen=seen, fix=REPORT)
    told = ", ".join(f"{each} {loss:.2f}" for each, loss in others.items())
    return Finding(name=name, grade="ok", seen=f"{ours} (loss {here:.2f}; {told})")


def holes(backend: ModelBackend, tokenizer: Any, profile: Profile) -> Finding:
    """By the whole product: canvas, decoder, tokenizer."""
    right = 0
    for before, answer, after in HOLES:
        length = len(tokenizer.encode(answer))
        hole = HolePart(HoleSpec(length=length))
        parts: list[str | HolePart] = [before, hole, after]
        request = Infill(id="checkup", parts=parts, mode="exact", stream=False)
        *_, last = backend.infill(request)
        right += last.texts == [answer]
    least = profile.holes_right
    seen = f"{right} of {len(HOLES)} right"
    if least is None:
        grade: Grade = "ok" if right else "warning"
        return Finding(name="trivial holes", grade=grade, seen=seen)
    seen += f", expected {least}"
    if "holes_right" in profile.unverified:
        seen += " (nobody has measured what is usual for it)"
    if right >= least:
        return Finding(name="trivial holes", grade="ok", seen=seen)
    return Finding(name="trivial holes", grade="fault", seen=seen, fix=REPORT)
