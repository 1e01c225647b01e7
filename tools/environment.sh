# shellcheck shell=bash
# What tools/test, tools/quickstart and tools/benchmark share: finding out what a machine lacks, and installing it.
# Source it; it changes no directory and installs nothing by itself.

set -Eeuo pipefail
trap 'printf "%s: stopped at line %s, where this failed: %s\n" "$0" "$LINENO" "$BASH_COMMAND" >&2' ERR

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ASSUME_YES=no
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
export RESIDUAL_DATA="${RESIDUAL_DATA:-${XDG_CACHE_HOME:-$HOME/.cache}/residual}" # where `--data NAME` looks

say() { printf '\n==> %s\n' "$*"; }

fail() {
  printf '\n%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# take_arguments WORD...: does what --yes and --help ask for, and sets `arguments` to the other words.
take_arguments() {
  local argument
  arguments=()
  for argument in "$@"; do
    case $argument in
      --yes) ASSUME_YES=yes ;;
      --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit ;;
      *) arguments+=("$argument") ;;
    esac
  done
}

# Stops if take_arguments has left any.
refuse_arguments() {
  [ ${#arguments[@]} -eq 0 ] || fail "there is no argument '${arguments[0]}'; --help says which there are."
}

# Asks a yes-or-no question; --yes has answered it already.
confirm() {
  [ "$ASSUME_YES" = yes ] && return 0
  [ -t 0 ] || fail "$* There is no terminal to ask at: run it again with --yes to agree."
  local answer
  read -r -p "$* [y/N] " answer
  [[ $answer == [yY]* ]]
}

# Installs Debian packages with apt-get: as root, or through sudo once the user agrees.
install_packages() {
  local as_root=()
  command -v apt-get >/dev/null || fail "this machine lacks: $*. These are Debian's names and there is no apt-get here:
install them in your system's own way and run this again."
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "this machine lacks: $*. Run 'apt-get install $*' as root, then this again."
    confirm "This machine lacks: $*. Install with 'sudo apt-get install'?" || fail "nothing was installed."
    as_root=(sudo)
  fi
  say "Installing $*"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# require_packages build|python: installs whichever of the needed tools and libraries are not there.
require_packages() {
  local missing=()
  command -v git >/dev/null || missing+=(git)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  pkg-config --exists hdf5 2>/dev/null || missing+=(libhdf5-dev)
  pkg-config --exists zlib 2>/dev/null || missing+=(zlib1g-dev)
  [ "$1" = build ] || python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# Stops unless there is a Swift toolchain that is new enough.
require_swift() {
  local where='https://www.swift.org/install/linux has one for your system; put its usr/bin in PATH.'
  command -v swift >/dev/null || fail "there is no 'swift' in PATH. $where"
  local version
  version=$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+)\.([0-9]+).*/\1 \2/p' | head -n 1)
  local major=${version% *} minor=${version#* }
  if [ "${major:-0}" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 1 ]; }; then
    fail "Swift 6.1 or later is needed, but 'swift --version' says ${version/ /.}. $where"
  fi
}

# require_python FOLDER MODULE...: sets PYTHON to one that has the modules; makes a virtual environment if need be.
require_python() {
  local folder=$ROOT/$1
  shift
  local imports
  imports="import $(IFS=,; printf '%s' "$*")"
  if [ -n "${RESIDUAL_PYTHON:-}" ]; then
    PYTHON=$RESIDUAL_PYTHON
    "$PYTHON" -c "$imports" || fail "RESIDUAL_PYTHON is $PYTHON, which can't '$imports'; unset it to have one made."
    return
  fi
  PYTHON=$folder/bin/python
  "$PYTHON" -c "$imports" 2>/dev/null && return
  say "Making a Python environment in ${folder#"$ROOT"/} with $* (some minutes, the first time)"
  "$PYTHON" -c '' 2>/dev/null || python3 -m venv --clear "$folder"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check "$@" || fail "pip could not install $*.
Where it can't reach its index, make a Python with them and name it: RESIDUAL_PYTHON=/path/to/python $0
A CPU-only torch, a tenth of the download: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu $0"
  "$PYTHON" -c "$imports" || fail "pip has installed $*, but '$imports' fails."
}

# Whether a folder has the training images of MNIST, or of a data set in its format.
has_idx_files() { [ -n "$1" ] && compgen -G "$1/train-images-idx3-ubyte*" >/dev/null; }

# shellcheck disable=SC2034 # MNIST is for whoever sources this
# Sets MNIST to the folder that has MNIST, or to nothing.
find_mnist() {
  local folder
  MNIST=
  for folder in "${RESIDUAL_MNIST:-}" "$RESIDUAL_DATA/mnist"; do
    if has_idx_files "$folder"; then
      MNIST=$folder
      return
    fi
  done
}

# fetch_mnist RESNET: has the program download MNIST, checked, to RESIDUAL_DATA; sets MNIST, to nothing if that fails.
fetch_mnist() {
  say "Downloading MNIST"
  "$1" train --data mnist --model small-cnn --limit 64 --test-limit 64 --json >/dev/null || true
  find_mnist
}

FASHION_MNIST=/usr/share/datasets/fashion-mnist

# Installs Fashion-MNIST, which is in MNIST's format, from Debian.
require_fashion_mnist() {
  has_idx_files "$FASHION_MNIST" || install_packages dataset-fashion-mnist
}
