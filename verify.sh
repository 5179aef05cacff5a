#!/usr/bin/env bash
# Checks that this machine computes what Neon computed: ./verify.sh golden DIR|nvis NPZ SNAPSHOT
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/verify.py" "$@"
