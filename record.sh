#!/usr/bin/env bash
# Films an agent playing, with sound: ./record.sh SNAPSHOT|GAME [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" record "$@"
