#!/bin/sh
# What `make demo` runs: blanks one line in a copy of a real file, which is in no
# training corpus, and has the model that ships fill it while you watch. Its daemon
# lives in a folder of its own, so that yours is left alone, and ends with it.
set -eu

cd -- "${0%/*}/.."
line=${LINE:-39}
picture=${PICTURE:-}
example=examples/demo/inventory.py

# Your settings are for your daemon.
for name in $(env | sed -n 's/^\(DLMD_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
room=$(mktemp -d "${TMPDIR:-/tmp}/dlmd-demo.XXXXXX")
export DLMD_RUNTIME_DIR="$room/run" DLMD_CONFIG_DIR="$room/config"

dlmd() { .venv/bin/python -m dlmd "$@"; }

finish() {
    status=$?
    trap '' INT TERM
    trap - EXIT
    dlmd stop >/dev/null 2>&1 || :
    rm -rf -- "$room"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

file=$room/inventory.py
sed "${line}s/[^ ].*//" "$example" >"$file"

around() { sed -n "$((line - 4)),$((line + 4))p" "$1"; }

echo
echo "Before: line $line of $example is blank"
around "$file"
echo
dlmd serve --model embedded --detach
if [ -n "$picture" ]; then
    .venv/bin/python scripts/states.py "$file:$line" --svg "$picture"
    exit
elif [ -t 1 ]; then
    dlmd infill "$file:$line" --delay 60 --write
else
    .venv/bin/python scripts/states.py "$file:$line"
fi
echo
echo "After: what the file holds now"
around "$file"
