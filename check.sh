#!/usr/bin/env bash
# The one gate: format, lint, types, shell scripts, tests. Arguments go to pytest: ./check.sh -k replay
# Faster on a quiet machine, in a process for each core: ./check.sh -n auto --dist loadfile
case ${1-} in
-h | --help)
    echo "usage: ./check.sh [PYTEST'S ARGUMENTS]

Checks format, code, types and shell scripts, and then runs the tests. PYTEST'S ARGUMENTS choose
tests, as in ./check.sh -k replay. On a quiet machine, -n auto --dist loadfile runs them in a
process for each core."
    exit
    ;;
esac
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
ensure requirements.txt requirements-{dev,extras,gym,sweep}.txt
cd "$root" # the tools take their settings from pyproject.toml here

run() {
    local command="$*"
    say "check: ${command#"$python -m "}"
    "$@"
}

# Do the packages have what they require, except pygame? pygame-ce replaces it (requirements-gym.txt).
packages_fit() {
    local lacking
    lacking=$("$python" -m pip check --disable-pip-version-check |
        grep -v -e '^No broken requirements' -e '^flappy-bird-gymnasium .* requires pygame,') || true
    [[ -z $lacking ]] || fail "$lacking"
}

scripts=(./*.sh src/*.sh docs/*.sh .ci/run)
run "$python" -m ruff format --quiet --check
run "$python" -m ruff check --quiet
run bash -n "${scripts[@]}"
if command -v shellcheck >/dev/null; then run shellcheck --external-sources "${scripts[@]}"; fi
run packages_fit
run "$python" -m mypy
run "$python" -m pytest "$@"
