#!/usr/bin/env bash
# Shows an agent playing: ./play.sh [SNAPSHOT|GAME] [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" play "$@"
