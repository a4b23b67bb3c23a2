"""The audit, as a test file of the repository: calls that its tests made, and such calls
with changed arguments, must end as they ended in the original.

Copied into the root of the copy as `test_dlmd_audit.py`, beside a file with the calls.
Answers are kept as hashes, so that they cannot be read there. With DLMD_AUDIT_RECORD
set it writes the answers down instead. Standard library and pytest only, in Python 3.8;
it must not import anything of ours.
"""

# mypy: ignore-errors
# Annotations that Python 3.8 can read would say little here.

import hashlib
import importlib
import json
import os
import pickle
import random
import types

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
RECORD = os.environ.get("DLMD_AUDIT_RECORD")
MUTATED = 4  # of each recorded call
DEPTH, ITEMS = 6, 200

with open(os.path.join(HERE, "test_dlmd_audit.json"), encoding="utf-8") as _file:
    AUDITS = json.load(_file)


@pytest.mark.parametrize("number", range(len(AUDITS)))
def test_it_answers_as_before(number):
    audit = AUDITS[number]
    if RECORD:
        with open(os.path.join(RECORD, str(number)), "w", encoding="utf-8") as file:
            for case in recorded(audit):
                file.write(json.dumps(case) + "\n")
                file.flush()
        return
    for case in audit["cases"]:
        assert digest(outcome(audit, case["call"])) == case["answer"], "differs"


def recorded(audit):
    """Each call as it was and mutated, with its answer now."""
    seen = set()
    for i, call in enumerate(audit["calls"]):
        for k in range(1 + MUTATED):
            try:
                fresh = call if k == 0 else mutated(call, random.Random(f"{i} {k}"))
                if fresh in seen:
                    continue
                seen.add(fresh)
                told = outcome(audit, fresh)
            except BaseException as error:
                if type(error).__name__ == "Overdue":
                    raise
                continue  # its arguments do not come back to life
            answer = digest(told)
            yield {"call": fresh, "answer": answer, "raises": told[0] == "raises"}


def outcome(audit, call):
    """What a call gives, and what becomes of its arguments."""
    function = importlib.import_module(audit["module"])
    owner = None
    for name in audit["name"].split("."):
        owner, function = function, getattr(function, name)
    args, named = pickle.loads(bytes.fromhex(call))
    if isinstance(owner, type):
        function, args = bound(owner, audit["name"], function, args)
    try:
        value = function(*args, **named)
        if isinstance(value, types.CoroutineType):
            import asyncio

            value = asyncio.run(value)
        told = tell(value, 0)
    except Exception as error:
        if type(error).__name__ == "NotImplementedError":
            return ["raises", "NotImplementedError"]
        # Which exception it is that wrong arguments raise is nobody's promise.
        return ["raises", ""]
    return ["gives", told, tell(list(args), 0), tell(named, 0)]


def bound(owner, name, function, args):
    """Methods come with their first argument: the object, or the class."""
    plain = owner.__dict__.get(name.rpartition(".")[2])
    if isinstance(plain, classmethod):
        return function, args[1:]
    if isinstance(plain, property):
        return plain.fget, args
    inner = getattr(plain, "func", None)  # cached_property
    return (inner if callable(inner) and not callable(plain) else function), args


def digest(told):
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


def tell(value, depth):
    """A value as nested lists that are equal where a test would call the values equal."""
    kind = type(value).__name__
    if value is None or isinstance(value, (bool, str, bytes, complex)):
        return [kind, repr(value)]
    if isinstance(value, (int, float)):
        return ["number", repr(float(value)) if abs(value) < 2**53 else repr(value)]
    if depth > DEPTH:
        return [kind]
    if isinstance(value, dict):
        pairs = list(value.items())[:ITEMS]
        return [kind, [[tell(k, depth + 1), tell(v, depth + 1)] for k, v in pairs]]
    if isinstance(value, (set, frozenset)):
        return [kind, sorted(json.dumps(tell(each, depth + 1)) for each in value)]
    if isinstance(value, (list, tuple)):
        return [kind, [tell(each, depth + 1) for each in value[:ITEMS]], len(value)]
    if isinstance(value, (type, types.FunctionType, types.ModuleType)):
        return [kind, value.__name__]
    if isinstance(value, BaseException):
        return [kind]
    if hasattr(value, "__next__"):
        found = []
        for each in value:
            found.append(tell(each, depth + 1))
            if len(found) == ITEMS:
                break
        return ["iterator", found]
    held = getattr(value, "__dict__", None)
    if held is not None:
        inner = {str(k): tell(v, depth + 1) for k, v in list(held.items())[:ITEMS]}
        return [kind, sorted(inner.items())]
    text = repr(value)
    return [kind] if " at 0x" in text else [kind, text]


# ---- changed arguments ----


def mutated(call, draw):
    args, named = pickle.loads(bytes.fromhex(call))
    slots = [(args, i) for i in range(len(args))] + [(named, k) for k in named]
    draw.shuffle(slots)
    for holder, place in slots[: draw.choice([1, 1, 2])]:
        holder[place] = changed(holder[place], draw, 0)
    return pickle.dumps((args, named), protocol=4).hex()


def changed(value, draw, depth):
    """Another value of the same type, not far away."""
    if isinstance(value, bool):
        return not value
    if type(value) is int:
        return draw.choice([value + 1, value - 1, -value, value + draw.randint(2, 9)])
    if type(value) is float:
        return draw.choice([value + 1.0, value - 0.5, -value, value / 2])
    if type(value) in (str, bytes):
        cut = draw.randint(0, len(value))
        extra = "a" if type(value) is str else b"a"
        return draw.choice(
            [value[:cut], value[cut:], value[::-1], value + extra, value.swapcase()]
        )
    if type(value) in (list, tuple):
        items = list(value)
        way = draw.randint(0, 4)
        if not items:
            return value
        place = draw.randrange(len(items))
        if way == 0:
            del items[place]
        elif way == 1:
            items.append(items[place])
        elif way == 2:
            items.reverse()
        elif depth < 3:
            items[place] = changed(items[place], draw, depth + 1)
        return type(value)(items)
    if type(value) is dict and value:
        key = draw.choice(list(value))
        if draw.randint(0, 2) == 0:
            return {k: v for k, v in value.items() if k is not key}
        return {
            k: changed(v, draw, depth + 1) if k is key and depth < 3 else v
            for k, v in value.items()
        }
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict) and held and not isinstance(value, type) and depth < 2:
        name = draw.choice(list(held))
        try:
            setattr(value, name, changed(held[name], draw, depth + 1))
        except Exception:
            return value
    return value
