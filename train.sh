#!/usr/bin/env bash
# Trains an agent: ./train.sh GAME [LABEL] [flags], or --list for the games
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" train "$@"
