#!/usr/bin/env bash
# Tests an agent: ./test.sh SNAPSHOT|GAME [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" test "$@"
