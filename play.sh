#!/usr/bin/env bash
# Shows a snapshot playing: ./play.sh SNAPSHOT [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" play "$@"
