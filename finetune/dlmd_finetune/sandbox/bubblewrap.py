"""The room `bubblewrap`: Linux namespaces around one worker, set up by `bwrap`.

Inside there is no network, no home, no /proc, and nothing to write but /tmp and /dev/shm, both
bounded. As root the worker becomes a user that nobody else is, because limits on
processes do not hold root. It must not know candidates or tests.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from dlmd_finetune.sandbox.prepare import Setting, environment, strangers
from dlmd_finetune.sandbox.process import Confined

OLDEST = (0, 8)
SCRIPTS = Path("/run/dlmd")
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
ETC = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
)
PROFILE = """abi <abi/4.0>,
include <tunables/global>

profile bwrap {path} flags=(unconfined) {{
  userns,
  include if exists <local/bwrap>
}}
"""
ROOT_KEEPS = (
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_KILL",
)  # to start, and end, as another user


def program() -> str:
    if sys.platform != "linux":
        raise ValueError(
            f"the sandbox `bubblewrap` needs Linux, and this is {sys.platform}; run in WSL "
            "or a Linux machine, or name another room with --sandbox e2b or --sandbox "
            "subprocess (limits only)"
        )
    path = shutil.which("bwrap")
    if path is None:
        raise ValueError(
            "the sandbox `bubblewrap` needs the program bwrap, which is not installed; "
            "type: sudo apt-get install bubblewrap (or dnf, pacman, zypper), or name "
            "another room with --sandbox e2b or --sandbox subprocess (limits only)"
        )
    return path


@cache
def modes() -> tuple[str, bool]:
    """The program, and whether it runs with root's rights; ValueError when it cannot."""
    path = program()
    told = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        raise ValueError(
            f"{path} is {told.strip() or 'of an unknown version'}; expected bubblewrap 0.8 "
            "or newer, such as Debian 12 and Ubuntu 24.04 have"
        )
    said = ""
    for rooted in [True, False] if os.geteuid() == 0 else [False]:
        probe = [path, *isolation(rooted), "--ro-bind", "/", "/", "--", "/bin/true"]
        run = subprocess.run(probe, capture_output=True, text=True, cwd="/")
        if run.returncode == 0:
            return path, rooted
        said = run.stderr.strip()
    raise ValueError(refusal(path, said))


def refusal(path: str, said: str) -> str:
    """Why no namespaces can be had here, and what to type so that they can."""
    if restricted("apparmor_restrict_unprivileged_userns") == "1":
        profile = PROFILE.format(path=path)
        return (
            f"AppArmor keeps {path} from making namespaces ({said}). Allow it for this one "
            "program, by this profile, then try again:\n\n"
            f"sudo tee /etc/apparmor.d/bwrap >/dev/null <<'END'\n{profile}END\n"
            "sudo apparmor_parser -r /etc/apparmor.d/bwrap\n\n"
            "or name another room with --sandbox e2b or --sandbox subprocess (limits only)"
        )
    if restricted("unprivileged_userns_clone") == "0":
        fix = "type: sudo sysctl -w kernel.unprivileged_userns_clone=1"
    elif os.path.exists("/.dockerenv"):
        fix = (
            "start the container with --security-opt seccomp=unconfined, or outside one"
        )
    else:
        fix = "allow unprivileged user namespaces (sysctl user.max_user_namespaces)"
    return (
        f"{path} cannot make namespaces here ({said}); {fix}, or name another room with "
        "--sandbox e2b or --sandbox subprocess (limits only)"
    )


def restricted(name: str) -> str:
    try:
        return Path("/proc/sys/kernel", name).read_text().strip()
    except OSError:
        return ""


def isolation(rooted: bool) -> list[str]:
    alone = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    alone += ["--unshare-cgroup-try", "--die-with-parent", "--new-session"]
    alone += ["--cap-drop", "ALL"]
    if rooted:
        return [*alone, *(word for cap in ROOT_KEEPS for word in ("--cap-add", cap))]
    return ["--unshare-user", "--disable-userns", *alone]


def confine(setting: Setting, copy: Path) -> Confined:
    path, rooted = modes()
    size = str(setting.limits.file_mb * 2**20)
    inside = binds(setting, copy)
    argv = [path, *isolation(rooted), "--clearenv"]
    for name, value in environment(setting.python.executable, "/tmp").items():
        argv += ["--setenv", name, value]
    argv += system_files(setting.folder)
    argv += ["--dev", "/dev", "--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"]
    argv += ["--remount-ro", "/dev"]
    argv += ["--perms", "1777", "--size", size, "--tmpfs", "/tmp"]
    argv += parents([target for _, target in inside])
    for source, target in inside:
        argv += ["--ro-bind", str(source), str(target)]
    argv += ["--remount-ro", "/", "--chdir", "/tmp", "--"]
    return Confined(
        argv=tuple(argv),
        env=None,
        root=setting.at,
        scripts=SCRIPTS,
        scratch=("/tmp", "/dev/shm"),
        keep=tuple({t.parts[2] for _, t in inside if t.is_relative_to("/tmp")}),
        uids=strangers() if rooted else (),
        namespace=True,
    )


def around_program(folder: Path, script: Path, env: dict[str, str]) -> list[str]:
    """For one program of the interpreter that we run on; it may write in `folder`."""
    path, rooted = modes()
    base = Path(sys.base_prefix)
    shown = [place for place in (base, Path(sys.prefix)) if place != Path("/usr")]
    shown.append(script)
    argv = [path, *isolation(rooted), "--clearenv"]
    for name, value in (*env.items(), ("DLMD_ROOM", "laid out")):
        argv += ["--setenv", name, value]
    argv += [*system_files(None), "--dev", "/dev", "--remount-ro", "/dev"]
    argv += ["--perms", "1777", "--size", str(2**26), "--tmpfs", "/tmp"]
    argv += parents([*shown, folder])
    for place in shown:
        argv += ["--ro-bind", str(place), str(place)]
    argv += ["--bind", str(folder), str(folder), "--remount-ro", "/"]
    return [*argv, "--chdir", str(folder), "--"]


def system_files(folder: Path | None) -> list[str]:
    argv = ["--ro-bind", "/usr", "/usr"]
    for name in SYSTEM:
        place = Path("/", name)
        if place.is_symlink():
            argv += ["--symlink", os.readlink(place), str(place)]
        elif place.is_dir():
            argv += ["--ro-bind", str(place), str(place)]
    if Path("/nix/store").is_dir():
        argv += ["--ro-bind", "/nix/store", "/nix/store"]
    argv += ["--perms", "0755", "--dir", "/etc"]  # else closed to who root becomes
    if folder is not None:
        etc = folder / "etc"
        if not etc.exists():
            write_etc(etc)
        for name in sorted(os.listdir(etc)):
            argv += ["--ro-bind", str(etc / name), f"/etc/{name}"]
    for name in ETC:
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return [*argv, "--symlink", "/tmp", "/var/tmp"]


def write_etc(etc: Path) -> None:
    """Just enough for a name and a home to be found; nobody's real names."""
    etc.mkdir()
    files = {
        "passwd": "root:x:0:0::/tmp/home:/bin/sh\nnobody:x:65534:65534::/tmp/home:/bin/sh\n",
        "group": "root:x:0:\nnobody:x:65534:\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    for name, text in files.items():
        (etc / name).write_text(text)
        (etc / name).chmod(0o644)


def binds(setting: Setting, copy: Path) -> list[tuple[Path, Path]]:
    """What is shown, and where; outer places first, since later ones cover them."""
    python = setting.python
    shown = [(place, place) for place in (*python.places, *python.path)]
    shown = [
        (source, target)
        for source, target in shown
        if not target.is_relative_to("/usr") and target.exists()
    ]
    outer: list[tuple[Path, Path]] = []
    for source, target in sorted(set(shown), key=lambda pair: len(pair[1].parts)):
        covered = any(target.is_relative_to(other) for _, other in outer)
        if not covered and not target.is_relative_to(setting.at):
            outer.append((source, target))
    inner = [
        (place, place)
        for place in python.places
        if place.is_relative_to(setting.at) and place != setting.at
    ]
    refuse_wide([*(target for _, target in (*outer, *inner)), setting.at])
    masks = masked(setting)
    scripts = [(setting.folder / "scripts", SCRIPTS)]
    return [*outer, (copy, setting.at), *inner, *masks, *scripts]


def refuse_wide(places: Iterable[Path]) -> None:
    home = Path.home()
    for place in places:
        if home.is_relative_to(place) or place == Path("/"):
            raise ValueError(
                f"the tests need {place}, which holds your home; move the repository or "
                "its interpreter to a folder of its own"
            )


def masked(setting: Setting) -> list[tuple[Path, Path]]:
    """Installed copies of the repository's own packages: the answer stands in them."""
    empty_folder, empty_file = setting.folder / "empty", setting.folder / "empty.py"
    empty_folder.mkdir(exist_ok=True)
    empty_file.touch()
    found = []
    for root in (setting.tree, setting.tree / "src"):
        for entry in sorted(root.iterdir()) if root.is_dir() else ():
            for site in setting.python.site:
                twin = site / entry.name
                if (entry / "__init__.py").exists() and twin.is_dir():
                    found.append((empty_folder, twin))
                elif entry.suffix == ".py" and twin.is_file():
                    found.append((empty_file, twin))
    return found


def parents(targets: list[Path]) -> list[str]:
    """Folders above what is bound, which bubblewrap would make for their owner alone."""
    found = {parent for target in targets for parent in target.parents}
    have = {Path("/"), Path("/usr"), Path("/tmp"), Path("/dev"), *targets}
    argv = []
    for parent in sorted(found - have, key=lambda place: len(place.parts)):
        if not parent.is_relative_to("/usr") and not any(
            parent.is_relative_to(target) for target in targets
        ):
            argv += ["--perms", "0755", "--dir", str(parent)]
    return argv
