#!/usr/bin/env bash
# Measures the speed of every part and of the whole loop: ./bench.sh [flags]. With the name of
# another benchmark in bench/ it runs that one: ./bench.sh peers|loop|replay|health|ingredients|sweeps
# [flags]
source "$(dirname "$(readlink -f "$0")")/src/setup.sh" || exit
benchmark=bench
case ${1-} in
peers | loop | replay | health | ingredients | sweeps)
    benchmark=$1
    shift
    ;;
esac
exec "$python" "$root/bench/$benchmark.py" "$@"
