#!/usr/bin/env bash
# Goes on with training from a snapshot: ./resume.sh SNAPSHOT [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" resume "$@"
