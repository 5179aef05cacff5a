#!/usr/bin/env bash
# Tests a snapshot: ./test.sh SNAPSHOT [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" test "$@"
