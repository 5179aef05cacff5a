#!/usr/bin/env bash
# Trains many agents, every combination of games, settings and seeds: ./sweep.sh GAME... [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
ensure requirements.txt requirements-sweep.txt
exec "$python" "$root/src/sweep.py" "$@"
