#!/bin/sh
# Finds a Python that can make .venv and hands over to make_venv.py.
# Shell builtins only: it runs before anything is known to be installed, and
# says in one line what to install when something is missing.
set -u

case $0 in */*) root=${0%/*}/.. ;; *) root=.. ;; esac
cd -- "$root" || exit 1

# The usual case, a second run: .venv stands and nothing it was made from changed.
if [ -x .venv/bin/python ] && .venv/bin/python scripts/make_venv.py --check 2>/dev/null; then
    exit 0
fi

# Prints "ok", "no-venv 3.11" or "old 3.10.13"; nothing if it does not run at all
# (pyenv leaves python3.12 on the PATH for versions that are not active).
probe() {
    "$1" -c '
import sys
major, minor, micro = sys.version_info[:3]
if (major, minor) < (3, 11):
    print("old %d.%d.%d" % (major, minor, micro))
elif (major, minor) > (3, int(sys.argv[1])):
    print("new %d.%d" % (major, minor))
else:
    try:
        import ensurepip, venv
        print("ok")
    except ImportError:
        print("no-venv %d.%d" % (major, minor))
' "$2" 2>/dev/null
}

# "Debian or Ubuntu", "Fedora" and "mac" packages, in this order.
install_hint() {
    if command -v apt-get >/dev/null 2>&1; then
        printf 'install it with: sudo apt install %s' "$1"
    elif command -v dnf >/dev/null 2>&1; then
        printf 'install it with: sudo dnf install %s' "$2"
    elif command -v brew >/dev/null 2>&1; then
        printf 'install it with: brew install %s' "$3"
    else
        printf 'install %s (Debian, Ubuntu), %s (Fedora) or %s (Homebrew)' "$1" "$2" "$3"
    fi
}

old='' without_venv=''
try() {
    case $(probe "$1" "$2") in
        ok) exec "$1" scripts/make_venv.py ;;
        old\ *) [ -n "$old" ] || old=$(probe "$1" "$2") ;;
        no-venv\ *) [ -n "$without_venv" ] || without_venv=$(probe "$1" "$2") ;;
    esac
}

# PYTHON=... wins; then the machine's own python3, then others of the versions
# we test, and only then one that is newer than those.
[ -z "${PYTHON:-}" ] || try "$PYTHON" 99
for name in python3 python3.13 python3.12 python3.11; do try "$name" 13; done
try python3 99

if [ -n "$without_venv" ]; then
    version=${without_venv#no-venv }
    echo "dlmd: Python $version has no venv module (venv and ensurepip are needed);" \
        "$(install_hint "python$version-venv" python3 "python@$version")" >&2
elif [ -n "$old" ]; then
    echo "dlmd: found only Python ${old#old }, but 3.11 or newer is needed;" \
        "$(install_hint 'python3.11 python3.11-venv' python3.12 python@3.12)" >&2
else
    echo "dlmd: no python3 on the PATH, and Python 3.11 or newer is needed;" \
        "$(install_hint 'python3 python3-venv' python3 python@3.12)" >&2
fi
exit 1
