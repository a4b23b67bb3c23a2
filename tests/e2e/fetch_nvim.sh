#!/usr/bin/env bash
# Unpacks a Neovim of another Debian suite into a folder, without installing it.
#
#   tests/e2e/fetch_nvim.sh SUITE DEST     trixie has 0.10.4 (our floor), forky has 0.12
#
# apt resolves the packages, libc included, against an empty status file in a folder of
# its own, so the machine's package state is neither read nor changed. patchelf then
# points the one binary at the libc beside it: no LD_LIBRARY_PATH, so that the processes
# Neovim starts keep the machine's libc. Prints the path of the binary as its last line.
set -euo pipefail

say() { echo "fetch_nvim: $*" >&2; exit 1; }

[ $# -eq 2 ] || say "give a Debian suite and a folder, as in: fetch_nvim.sh trixie .e2e/nvim-trixie"
suite=$1
dest=$(realpath -m "$2")
nvim=$dest/usr/bin/nvim

# The interpreter in the binary is an absolute path, so a moved folder fails here and is fetched again.
if [ -x "$nvim" ] && "$nvim" --version >/dev/null 2>&1; then echo "$nvim"; exit 0; fi

for tool in apt-get dpkg-deb patchelf; do
  command -v "$tool" >/dev/null ||
    say "no $tool on this machine; install it, or name a Neovim of at least 0.10 yourself: NVIM=/path/to/nvim make e2e"
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || say "no $keyring; install debian-archive-keyring, or name a Neovim: NVIM=/path/to/nvim make e2e"
# The mirror is whatever this machine uses for its own release; derived systems carry no Debian suites.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $codename" 2>/dev/null | head -n 1)
[ -n "$mirror" ] || say "apt knows no mirror for '$codename' yet; run apt-get update first, or name a Neovim: NVIM=/path/to/nvim make e2e"

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
apt-get "${options[@]}" -y --download-only install neovim >&2 || say "the suite '$suite' has no installable neovim today"

rm -rf "$dest"
mkdir -p "$dest"
for package in "$state"/cache/archives/*.deb; do dpkg-deb -x "$package" "$dest"; done
loader=$(compgen -G "$dest/usr/lib/*/ld-linux*.so*" | head -n 1)
libraries=$(basename "$(dirname "$loader")")
patchelf --set-interpreter "$loader" --force-rpath --set-rpath "\$ORIGIN/../lib/$libraries" "$nvim"
"$nvim" --version >/dev/null || say "the Neovim of '$suite' was unpacked to $dest but does not start"
echo "$nvim"
