#!/usr/bin/env bash
# Shows what an agent's filters see: ./nvis.sh SNAPSHOT|GAME [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" nvis "$@"
