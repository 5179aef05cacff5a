#!/usr/bin/env bash
# Tests the agents that come with the project: docs/results.sh [--play [GAME...]]
here=$(dirname "$(readlink -f "$0")")
source "${here%/docs}/src/setup.sh" || exit
exec "$python" "$root/docs/results.py" "$@"
