#!/bin/sh
# Makes the virtual environment VENV with PYTHON and installs the locked packages and this one into it.
# Usage, from the repository root: sh scripts/setup.sh PYTHON VENV
set -eu

python=$1
venv=$2

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 ||
    die "'$python' is not to be found; install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3 TARGET"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    die "'$python' does not run"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "'$python' is Python $version; 3.10 or newer is needed. Name another: make PYTHON=python3.12 TARGET"
"$python" -c 'import venv' 2>/dev/null ||
    die "Python $version here lacks its venv module; on Debian and Ubuntu: apt-get install python3-venv"

printf 'Making the environment %s with Python %s\n' "$venv" "$version"
if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv "$venv"
else
    # Debian ships Python without ensurepip: a pip of its own (22.3 or newer) can fill the environment.
    "$python" -m venv --without-pip "$venv"
    "$python" -m pip --python "$venv/bin/python" install --disable-pip-version-check pip ||
        die "Python $version here lacks ensurepip; on Debian and Ubuntu: apt-get install python3-venv"
fi

install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check "$@"
}

if "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    printf 'Installing the exact versions of requirements.lock (torch is the large one)\n'
    install --requirement requirements.lock
    install --no-deps --editable .
else
    printf 'requirements.lock is for Python 3.11 and newer; installing what pyproject.toml allows on %s\n' "$version"
    install --editable '.[test,dev]'
fi
