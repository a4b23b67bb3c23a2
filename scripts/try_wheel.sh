#!/bin/sh
# Builds the wheel, installs it alone into an empty environment, as `pipx install` does,
# and fills a hole with it from another folder. Downloads what a user would.
set -eu

cd -- "${0%/*}/.."
room=$(mktemp -d "${TMPDIR:-/tmp}/dlmd-wheel.XXXXXX")
export DLMD_RUNTIME_DIR="$room/run" DLMD_CONFIG_DIR="$room/config"
installed=$room/env/bin/dlmd

finish() {
    status=$?
    trap - EXIT
    [ ! -x "$installed" ] || "$installed" stop >/dev/null 2>&1 || :
    rm -rf -- "$room"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

.venv/bin/python -m build --no-isolation --wheel --outdir "$room/dist" . >"$room/build.log" ||
    { cat "$room/build.log" >&2; exit 1; }
.venv/bin/python -m venv "$room/env"
"$room/env/bin/python" -m pip install --quiet --disable-pip-version-check "$room"/dist/*.whl

cd "$room"
"$installed" --version
before='class Point:
    def __init__(self, x, y):
        self.x = '
after='
        self.y = y'
filled=$(printf '%s⟦⟧%s\n' "$before" "$after" | "$installed" infill -)
printf '%s\n' "$filled"
case $filled in
    "$before$after") echo "the hole was left empty" >&2; exit 1 ;;
    "$before"*"$after") ;;
    *) echo "the text around the hole did not come back" >&2; exit 1 ;;
esac
