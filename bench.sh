#!/usr/bin/env bash
# Measures the speed of every part and of the whole loop: ./bench.sh [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/bench/bench.py" "$@"
