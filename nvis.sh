#!/usr/bin/env bash
# Shows what a snapshot's filters see: ./nvis.sh SNAPSHOT [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" nvis "$@"
