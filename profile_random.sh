#!/usr/bin/env bash
# Shows where the time of random play goes: ./profile_random.sh [GAME] [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" profile_random "$@"
