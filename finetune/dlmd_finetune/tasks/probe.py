"""A pytest plugin for the repository's interpreter: which tests there are, how each ends,
what lines it runs, with what it calls functions, and what else it does.

Copied beside the tests under the name `dlmd_probe` and told what to do by the file that
DLMD_PROBE names. It writes each event at once, so that a suite that is killed has still
said how far it came. Standard library, pytest and coverage only, in Python 3.8; it must
not import anything of ours.
"""

# mypy: ignore-errors
# Annotations that Python 3.8 can read would say little here.

import json
import os
import pickle
import random
import signal
import sys
import time

import pytest

JOB = {}
if "DLMD_PROBE" in os.environ:
    with open(os.environ["DLMD_PROBE"], encoding="utf-8") as _file:
        JOB = json.load(_file)
TREE = JOB.get("tree", "")
HERE = os.getpid()
CLOCK = time.perf_counter  # before a test can replace it
ALARM = getattr(signal, "setitimer", None)
DEEDS_KEPT = 5
TESTS_OF_A_LINE = 200
CALLS_KEPT, CALL_BYTES, CALLS_FAILED = 24, 20000, 8
GENERATES = 0x20 | 0x80 | 0x200  # generator, coroutine, asynchronous generator
TEXT = 300

EVENTS = open(JOB["events"], "a", encoding="utf-8") if JOB else None  # noqa: SIM115


def tell(**event):
    if os.getpid() == HERE:
        EVENTS.write(json.dumps(event) + "\n")
        EVENTS.flush()


# ---- what a test does beside computing ----

DEEDS = []
REMOVING = {"os.remove", "os.rename", "os.rmdir", "shutil.rmtree", "os.truncate"}
CHANGING = {"os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown"}
LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "None")


def audit(event, args):
    if event == "open":
        path, _, flags = args
        if type(flags) is int and flags & (os.O_WRONLY | os.O_RDWR):
            touched("writes", path)
    elif event in REMOVING:
        touched("removes", args[0])
    elif event in CHANGING:
        touched("writes", args[-1] if event == "os.symlink" else args[0])
    elif event == "socket.connect":
        address = args[1]
        if isinstance(address, tuple):
            reached("{}:{}".format(*address[:2]))
        else:
            reached("unix:" + str(address))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        reached(str(args[0]))
    elif event == "os.fork":
        did("forks", "")


def touched(verb, path):
    try:
        path = os.path.abspath(os.fsdecode(path))
    except (TypeError, ValueError, OSError):
        return  # a descriptor
    if path.startswith(TREE + os.sep) and "__pycache__" not in path:
        new = verb == "writes" and not os.path.lexists(path)
        did("adds" if new else verb, os.path.relpath(path, TREE))


def reached(place):
    near = place.startswith((*LOCAL, "unix:"))
    did("service" if near else "network", place)


def did(verb, what):
    if len(DEEDS) < DEEDS_KEPT and [verb, what] not in DEEDS:
        DEEDS.append([verb, what])


# ---- with what functions are called ----

CALLS = {}  # of a function: pickled arguments
SPENT = {}  # of a function: how often its arguments could not be pickled
RETURNED = {}  # of a function: type names of what it returned
WANTED = {(path, line): key for key, path, line in JOB.get("capture") or ()}
KNOWN = {}  # of a code object: its key, or None


def watch(frame, event, value):
    if event != "call" and event != "return":
        return
    code = frame.f_code
    key = KNOWN.get(code, KNOWN)
    if key is KNOWN:
        place = (os.path.abspath(code.co_filename), code.co_firstlineno)
        key = KNOWN[code] = WANTED.get(place)
    if key is None:
        return
    if event == "return":
        if value is not None:
            RETURNED.setdefault(key, {})[type(value).__name__] = 1
    elif len(CALLS.get(key, ())) < CALLS_KEPT and SPENT.get(key, 0) < CALLS_FAILED:
        keep(key, frame, code)


def keep(key, frame, code):
    n = code.co_argcount
    names = code.co_varnames[: n + code.co_kwonlyargcount]
    held = frame.f_locals
    if code.co_flags & GENERATES and len(held) > len(names) + 2:
        return  # resumed, not called
    after = len(names)
    try:
        args = [held[name] for name in names[:n]]
        if code.co_flags & 0x04:
            args += held[code.co_varnames[after]]
            after += 1
        named = {name: held[name] for name in names[n:]}
        if code.co_flags & 0x08:
            named.update(held[code.co_varnames[after]])
        data = pickle.dumps((args, named), protocol=4)
    except BaseException:  # an argument's own code runs here
        SPENT[key] = SPENT.get(key, 0) + 1
        return
    if len(data) > CALL_BYTES:
        SPENT[key] = SPENT.get(key, 0) + 1
    else:
        module = frame.f_globals.get("__name__", "")
        CALLS.setdefault(key, {}).setdefault(data.hex(), module)


# ---- which lines a test runs ----

COVER = None


def begin_to_cover():
    global COVER
    os.environ.pop("COVERAGE_CORE", None)
    try:
        import coverage
    except ImportError:
        sys.path.append(JOB["coverage"])  # ours; at the end, it hides nothing
        import coverage
    try:
        import coverage.tracer
    except ImportError:  # ours, built for another Python: its slow tracer does
        core = "pytrace"
    else:
        core = "ctrace"
    os.environ["COVERAGE_CORE"] = core  # sys.monitoring cannot tell tests apart
    COVER = coverage.Coverage(
        data_file=None, config_file=False, include=[os.path.join(TREE, "*")]
    )
    COVER._warn = lambda *_, **__: None  # where warnings are errors, so would ours be
    COVER.start()
    del os.environ["COVERAGE_CORE"]


def lines_by_test():
    COVER.stop()
    data = COVER.get_data()
    tests = {}
    files = {}
    for path in data.measured_files():
        lines = {}
        for line, contexts in data.contexts_by_lineno(path).items():
            few = [tests.setdefault(c, len(tests)) for c in contexts[:TESTS_OF_A_LINE]]
            lines[line] = few
        files[os.path.relpath(path, TREE)] = lines
    return {"tests": list(tests), "files": files}


# ---- hooks ----


class Overdue(BaseException):
    """A test ran past its time."""


def overdue(*_):
    raise Overdue("ran past its time limit")


def pytest_configure(config):
    if JOB.get("cover") and COVER is None:
        begin_to_cover()


def pytest_collectreport(report):
    if report.failed:
        tell(broken=report.nodeid, why=last_line(str(report.longrepr)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    tell(collected=[item.nodeid for item in items])
    wanted = JOB.get("select")
    if wanted is not None:
        wanted = set(wanted)
        items[:] = [item for item in items if item.nodeid in wanted]
    without = set(JOB.get("without") or ())
    items[:] = [item for item in items if item.nodeid not in without]
    if JOB.get("shuffle") is not None:
        shuffle(items, random.Random(JOB["shuffle"]))


def shuffle(items, draw):
    """Modules and classes stay together, for the sake of their fixtures."""
    groups = {}
    for item in items:
        module = item.nodeid.split("::")[0]
        owner = item.nodeid.rpartition("::")[0]
        groups.setdefault(module, {}).setdefault(owner, []).append(item)
    items[:] = []
    for module in draw.sample(sorted(groups), len(groups)):
        owners = groups[module]
        for owner in draw.sample(sorted(owners), len(owners)):
            draw.shuffle(owners[owner])
            items.extend(owners[owner])


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    tell(begin=item.nodeid)
    del DEEDS[:]
    REPORTS.clear()
    begun = CLOCK()
    if COVER is not None:
        COVER.switch_context(item.nodeid)
    if WANTED:
        sys.setprofile(watch)
    if ALARM is not None:
        signal.signal(signal.SIGALRM, overdue)
        ALARM(signal.ITIMER_REAL, JOB["limit_s"])
    try:
        yield
    finally:
        if os.getpid() != HERE:  # a test forked, and its child came back here
            os._exit(0)
        if ALARM is not None:
            ALARM(signal.ITIMER_REAL, 0)
        if WANTED:
            sys.setprofile(None)
        outcome, why = summed(REPORTS)
        tell(
            end=item.nodeid,
            outcome=outcome,
            why=why,
            seconds=CLOCK() - begun,
            deeds=list(DEEDS),
        )
        if COVER is not None:
            COVER.switch_context("")


REPORTS = []


def pytest_runtest_logreport(report):
    REPORTS.append(report)


def summed(reports):
    """One outcome: what its setup, its call and its teardown say together."""
    for report in reports:
        if report.failed:
            return "failed", last_line(str(report.longrepr))
        if hasattr(report, "wasxfail"):
            return "skipped", "expected to fail"
        if report.skipped:
            place = report.longrepr
            return "skipped", str(place[2] if isinstance(place, tuple) else place)
    called = [report for report in reports if report.when == "call"]
    return ("passed", "") if called else ("failed", "did not run")


def last_line(text):
    """The line that names the exception, the first that pytest marks with an E."""
    lines = [line for line in text.splitlines() if line.startswith("E  ")]
    told = lines[0][1:] if lines else text.strip().rpartition("\n")[2]
    return " ".join(told.split())[:TEXT]


def pytest_sessionfinish(session, exitstatus):
    if os.getpid() != HERE:
        return
    if COVER is not None:
        with open(JOB["cover"], "w", encoding="utf-8") as file:
            json.dump(lines_by_test(), file)
    if JOB.get("calls"):
        told = {key: list(held.items()) for key, held in CALLS.items()}
        kinds = {key: sorted(held) for key, held in RETURNED.items()}
        with open(JOB["calls"], "w", encoding="utf-8") as file:
            json.dump({"calls": told, "returned": kinds, "spent": SPENT}, file)
    tell(done=int(exitstatus))


if JOB:
    sys.addaudithook(audit)
    for _name in ("clock_settime", "clock_settime_ns"):
        if hasattr(time, _name):

            def _refuse(*_):
                did("clock", "")
                raise PermissionError("the clock is not to be changed")

            setattr(time, _name, _refuse)
