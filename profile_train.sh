#!/usr/bin/env bash
# Shows where the time of training goes: ./profile_train.sh [GAME] [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" profile_train "$@"
