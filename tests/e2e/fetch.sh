#!/usr/bin/env bash
# Unpacks an editor of another Debian suite into a folder, without installing it.
#
#   tests/e2e/fetch.sh SUITE PACKAGE BINARY DEST
#   tests/e2e/fetch.sh trixie neovim usr/bin/nvim .e2e/nvim-trixie     0.10.4, our floor; forky has 0.12
#   tests/e2e/fetch.sh trixie hx usr/lib/hx/hx .e2e/hx-trixie          Helix 25.01.1
#
# apt resolves the packages, libc included, against an empty status file in a folder of
# its own, so the machine's package state is neither read nor changed. patchelf then
# points the one binary at the libc beside it: no LD_LIBRARY_PATH, so that the processes
# the editor starts keep the machine's libc. Prints the path of the binary as its last line.
set -euo pipefail

say() { echo "fetch: $*" >&2; exit 1; }

[ $# -eq 4 ] || say "give a Debian suite, a package, its binary and a folder, as in: fetch.sh trixie neovim usr/bin/nvim .e2e/nvim-trixie"
suite=$1
package=$2
dest=$(realpath -m "$4")
binary=$dest/$3

# The interpreter in the binary is an absolute path, so a moved folder fails here and is fetched again.
if [ -x "$binary" ] && "$binary" --version >/dev/null 2>&1; then echo "$binary"; exit 0; fi

for tool in apt-get dpkg-deb patchelf; do
  command -v "$tool" >/dev/null ||
    say "no $tool on this machine; install it, or name editors yourself: NVIM=/path/to/nvim HX=/path/to/hx make e2e"
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || say "no $keyring; install debian-archive-keyring, or name editors yourself: NVIM=/path/to/nvim HX=/path/to/hx make e2e"
# The mirror is whatever this machine uses for its own release; derived systems carry no Debian suites.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $codename" 2>/dev/null | head -n 1)
[ -n "$mirror" ] || say "apt knows no mirror for '$codename' yet; run apt-get update first, or name editors yourself: NVIM=/path/to/nvim HX=/path/to/hx make e2e"

# mktemp, not DEST: apt splits some of its settings at spaces.
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state"/lists/partial "$state"/cache/archives/partial
: >"$state/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$state/sources.list"
options=(
  -qq
  -o "Dir::Etc::sourcelist=$state/sources.list"
  -o "Dir::Etc::sourceparts=$state/none"
  -o "Dir::Etc::preferencesparts=$state/none"
  -o "Dir::State::lists=$state/lists"
  -o "Dir::State::status=$state/status"
  -o "Dir::Cache=$state/cache"
  -o "APT::Install-Recommends=false"
)
# As root, apt would fetch as a user who cannot write into our folder.
[ "$(id -u)" -ne 0 ] || options+=(-o "APT::Sandbox::User=root")

mkdir "$state/none"
apt-get "${options[@]}" update >&2
apt-get "${options[@]}" -y --download-only install "$package" >&2 || say "the suite '$suite' has no installable $package today"

rm -rf "$dest"
mkdir -p "$dest"
for file in "$state"/cache/archives/*.deb; do dpkg-deb -x "$file" "$dest"; done
loader=$(compgen -G "$dest/usr/lib/*/ld-linux*.so*" | head -n 1)
patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$(dirname "$loader")" "$binary"
"$binary" --version >/dev/null || say "the $package of '$suite' was unpacked to $dest but does not start"
echo "$binary"
