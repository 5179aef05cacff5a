#!/usr/bin/env bash
# Draws learning curves: ./plot.sh CSV... [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/plot.py" "$@"
