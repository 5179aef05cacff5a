#!/usr/bin/env bash
# Films a snapshot playing, with sound: ./record.sh SNAPSHOT [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" record "$@"
