#!/usr/bin/env bash
# Resumes a run: ./resume.sh GAME [LABEL]|SNAPSHOT [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
exec "$python" "$root/src/main.py" resume "$@"
