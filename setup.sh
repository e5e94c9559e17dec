#!/bin/sh
# Makes the virtual environment .venv with all pinned requirements. Called by make; needs python3, 3.11 or newer.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "setup.sh: Python 3.11 or newer is needed, not $("$python" --version 2>&1); name one with PYTHON=" >&2
  exit 1
}

# Debian splits pip from python3; the distribution's wheel of pip can be fetched without being root.
without_ensurepip() {
  "$python" -m venv --clear --without-pip .venv
  packages=$(mktemp -d)
  trap 'rm -rf "$packages"' EXIT
  (cd "$packages" && apt-get download -q python3-pip-whl && dpkg-deb -x python3-pip-whl_*.deb .) || {
    echo "setup.sh: this python3 has no ensurepip; install it (Debian, Ubuntu: apt-get install python3-venv)" >&2
    exit 1
  }
  PYTHONPATH=$(echo "$packages"/usr/share/python-wheels/pip-*.whl) .venv/bin/python -m pip install -q pip
}

if "$python" -c 'import ensurepip' 2>/dev/null; then
  "$python" -m venv --clear .venv
else
  without_ensurepip
fi
echo "Installing the requirements into .venv (once; PyTorch is large)"
.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
  -r ai8x-training/requirements.txt -r ai8x-synthesis/requirements.txt -r requirements-test.txt
touch .venv/complete
