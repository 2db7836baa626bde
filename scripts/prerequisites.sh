#!/bin/sh
# Looks for everything that must be there before `make` can install Ranvier, and names all that is missing at once,
# each with its fix.
#
#   scripts/prerequisites.sh            check; exit status 1 when something is missing
#   scripts/prerequisites.sh --python   print the Python 3.11 that was found
#
# PYTHON names the Python 3.11 to take, RANVIER_LAVA_PYTHON the Python 3.10 for Lava.
set -u
cd "$(dirname "$0")/.." || exit 1

NEEDED_MB=5000 # .venv 1.7 GB with the CPU build of torch, the wheel check's own environment as much, Lava's 0.3 GB

# Whether the command $1 runs and is Python version $2 (a pyenv shim on PATH may be there and not run).
is_python() {
    [ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$2" ]
}

# The first Python of version $1 among the candidates $2..., PATH, pyenv's versions and uv's.
find_python() {
    version=$1
    shift
    for candidate in "$@" "python$version" python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python \
        "${XDG_DATA_HOME:-$HOME/.local/share}/uv/python/cpython-$version"*/bin/python; do
        if [ -n "$candidate" ] && is_python "$candidate" "$version"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

if [ "${1:-}" = --python ]; then
    find_python 3.11 "${PYTHON:-}"
    exit
fi

missing=""
# Adds prerequisite $1 with the fix $2 to what is missing.
need() {
    missing="$missing
  * $1
      fix: $2"
}

if python=$(find_python 3.11 "${PYTHON:-}"); then
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        need "the venv module of $python" "install it, on Debian and Ubuntu: apt-get install python3.11-venv"
else
    need "Python 3.11 (the torch pinned in constraints.txt is built for it)" \
        "install python3.11 and python3.11-venv, or \`pyenv install 3.11\`, or set PYTHON=/path/to/python3.11"
fi

if ! make --version 2>/dev/null | grep -q 'GNU Make'; then
    need "GNU make" "install it, on Debian and Ubuntu: apt-get install make"
fi

if [ ! -w . ]; then
    need "leave to write into $(pwd)" "move the checkout to a folder of yours, or change its owner"
elif [ ! -e .venv/.installed ]; then
    free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
    if [ "$free_mb" -lt "$NEEDED_MB" ]; then
        need "disk space: $NEEDED_MB MB are needed under $(pwd), $free_mb MB are free" \
            "free some, or move the checkout to a larger disk"
    fi
fi

if [ -n "${RANVIER_LAVA_PYTHON:-}" ] && ! is_python "$RANVIER_LAVA_PYTHON" 3.10; then
    need "the Python 3.10 that RANVIER_LAVA_PYTHON names ($RANVIER_LAVA_PYTHON does not run as one)" \
        "correct the variable, or unset it to let Ranvier find one"
fi

if [ -n "$missing" ]; then
    printf 'Ranvier cannot be installed yet. Missing:%s\n' "$missing" >&2
    exit 1
fi

if [ ! -e .venv/.installed ] && ! find_python 3.10 "${RANVIER_LAVA_PYTHON:-}" >/dev/null; then
    echo "note: no Python 3.10 found. Lava needs one; uv, which is installed now, fetches it when Lava is first used." >&2
    echo "      Without a network: install Python 3.10 yourself and set RANVIER_LAVA_PYTHON to it." >&2
fi
