#!/usr/bin/env bash
# Makes the pictures in README.md and docs/: docs/pictures.sh [flags]
here=$(dirname "$(readlink -f "$0")")
source "${here%/docs}/src/setup.sh" || exit
ensure requirements.txt requirements-dev.txt requirements-gym.txt # a browser is driven by playwright
exec "$python" "$root/docs/pictures.py" "$@"
