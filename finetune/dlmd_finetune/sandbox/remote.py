"""Drives a worker inside a rented machine: files in, requests through, replies out.

Runs there as a script, beside worker.py and warden.py, with the standard library alone.
Reads one job from its input, prints one reply a line. It must not know what they mean.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import select
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
GRACE_S = 15.0
Job = Any  # {root, python, spec, requests, warm, opening_s}


class Dead(Exception):
    """The worker is gone, or was told to go."""


class Hand:
    """One worker, asked line by line."""

    def __init__(self, job: Job) -> None:
        held, self.leash = os.pipe()
        keep = [sys.executable, "-S", "-B", os.path.join(HERE, "warden.py"), "keep"]
        worker = [job["python"], "-B", os.path.join(HERE, "worker.py")]
        self.process = subprocess.Popen(
            [*keep, str(held), *worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(held,),
            env=job["env"],
        )
        os.close(held)
        self.rest = b""
        reply = self.ask(job["spec"], job["opening_s"])
        if not reply["ready"]:
            self.end()
            raise Dead(reply["reason"])

    def ask(self, request: Any, seconds: float) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        deadline = time.monotonic() + seconds
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise Dead("ended before it was asked") from None
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Dead(f"did not answer within {seconds:.0f} s")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise Dead("ended without an answer")
            self.rest += chunk
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def end(self) -> None:
        os.close(self.leash)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def attempt(job: Job, request: Any, hand: Hand) -> Any:
    """With the changed file in its place for as long as it runs."""
    path = os.path.join(job["root"], request["path"])
    with open(path, "rb") as file:
        original = file.read()
    replace(path, request["text"].encode(request["encoding"]))
    try:
        return hand.ask(request, request["timeout_s"] + GRACE_S)
    finally:
        replace(path, original)


def replace(path: str, data: bytes) -> None:
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.chmod(path + ".new", 0o644)
    os.replace(path + ".new", path)


class Tree:
    """The repository as it lay there before any candidate; made anew once somebody wrote
    in it, because where the worker cannot become another user a candidate may."""

    def __init__(self, root: str) -> None:
        self.root, told = root, io.BytesIO()
        with tarfile.open(fileobj=told, mode="w") as archive:
            archive.add(root, arcname=".")
        self.whole, self.state = told.getvalue(), state_of(root)

    def written(self) -> bool:
        return state_of(self.root) != self.state

    def renew(self) -> None:
        for parent, folders, _ in os.walk(self.root):
            for name in folders:
                place = os.path.join(parent, name)
                if not os.path.islink(place):
                    os.chmod(place, 0o700)
        for entry in list(os.scandir(self.root)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        with tarfile.open(fileobj=io.BytesIO(self.whole)) as archive:
            archive.extractall(self.root)
        self.state = state_of(self.root)


def state_of(root: str) -> Any:
    """Changes with every write; replacing the changed file and putting it back is none."""
    found = []
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            about = os.lstat(path)
            size = -1 if name in folders else about.st_size
            found.append((path, size, about.st_mode, digest(path, about)))
    return sorted(found)


def digest(path: str, about: os.stat_result) -> str:
    if not stat.S_ISREG(about.st_mode):
        return os.readlink(path) if stat.S_ISLNK(about.st_mode) else ""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def replies(job: Job) -> Any:
    hand, tree = None, Tree(job["root"])
    for request in job["requests"]:
        try:
            if hand is None:
                hand = Hand(job)
        except Dead as error:
            yield {"failed": str(error)}
            continue
        try:
            reply = attempt(job, request, hand)
        except Dead as error:
            reply = {"died": str(error)}
        written = tree.written()
        if "died" in reply or written or not job["spec"]["warm"]:
            hand.end()
            hand = None
        if written:
            tree.renew()
        yield reply
    if hand is not None:
        hand.end()


def main() -> None:
    for reply in replies(json.load(sys.stdin)):
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
