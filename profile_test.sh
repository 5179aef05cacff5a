#!/usr/bin/env bash
# Shows where the time of testing goes: ./profile_test.sh [GAME] [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" profile_test "$@"
