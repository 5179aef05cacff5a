#!/usr/bin/env bash
# Exports an agent for other programs: ./export.sh SNAPSHOT [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
ensure requirements.txt requirements-extras.txt
exec "$python" "$root/src/export.py" "$@"
