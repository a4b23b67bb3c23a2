"""The room `subprocess` for repositories: limits around a worker, and no isolation.

The tests can use the network, read and write what this user may, and reach the processes
of this user. It has to be asked for by name. Each slot keeps to a copy of the tree and a
folder for temporary files; a copy that was written in is made anew. As root the worker
becomes a user that nobody else is. It must not know candidates or tests.
"""

import os
import sys
from pathlib import Path

from dlmd_finetune.sandbox.prepare import Setting, environment, strangers
from dlmd_finetune.sandbox.process import Confined


def confine(setting: Setting, copy: Path) -> Confined:
    scratch = copy.with_suffix(".tmp")
    if not scratch.exists():
        scratch.mkdir()
        scratch.chmod(0o1777)
    scripts = setting.folder / "scripts"
    warden = [sys.executable, "-s", "-S", "-P", "-B", str(scripts / "warden.py")]
    return Confined(
        argv=(*warden, "keep", "{leash}"),
        env=environment(setting.python.executable, str(scratch)),
        root=copy,
        scripts=scripts,
        scratch=(str(scratch),),
        keep=(),
        uids=strangers() if os.geteuid() == 0 else (),
        namespace=False,
    )
