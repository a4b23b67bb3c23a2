"""The room `subprocess` for repositories: limits around a worker, and no isolation.

The tests can use the network, read and write what this user may, and reach the processes
of this user. It has to be asked for by name. Each slot keeps to a copy of the tree and a
folder for temporary files; a copy that was written in is made anew. As root the worker
becomes a user that nobody else is. It must not know candidates or tests.
"""

import os
import sys
from pathlib import Path

from dlmd_finetune.sandbox.prepare import Setting
from dlmd_finetune.sandbox.process import Confined

NOBODY = 65534


def confine(setting: Setting, copy: Path) -> Confined:
    scratch = copy.with_suffix(".tmp")
    if not scratch.exists():
        scratch.mkdir()
        scratch.chmod(0o1777)
    scripts = setting.folder / "scripts"
    warden = [sys.executable, "-s", "-S", "-P", "-B", str(scripts / "warden.py")]
    return Confined(
        argv=(*warden, "keep", "{leash}"),
        env=environment(setting, scratch),
        root=copy,
        scripts=scripts,
        scratch=(str(scratch),),
        keep=(),
        uids=(10**9 + os.getpid(), NOBODY) if os.geteuid() == 0 else (),
        namespace=False,
    )


def environment(setting: Setting, scratch: Path) -> dict[str, str]:
    binaries = str(setting.python.executable.parent)
    return {
        "PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(scratch / "home"),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
