#!/usr/bin/env bash
# Makes locks/ from the requirements files: docs/lock.sh [--upgrade]
# A lock has the version and the hashes of every package that a requirements file needs, directly or
# not, for all platforms and Pythons. Left out are PyTorch, whose builds come from several indexes,
# and the CUDA libraries that only PyTorch needs. Then looks all packages up among the known
# vulnerabilities. With --upgrade, packages that no requirements file names may become newer.
case ${1-} in
-h | --help)
    echo "usage: docs/lock.sh [--upgrade]

Makes locks/ from the requirements files: the version and the hashes of every package. Then looks
all packages up among the known vulnerabilities.

  --upgrade  packages that no requirements file names may become newer"
    exit
    ;;
esac
here=$(dirname "$(readlink -f "$0")")
source "${here%/docs}/src/setup.sh" || exit
cd "$root"

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9 pip-audit==2.10.1

# A resolution for Python 3.11 and later on every platform.
resolve() {
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate "$@"
}

# First all versions together, so that the locks agree with each other. Old versions are kept.
all=$tools/all.txt
if [[ ${1-} != --upgrade ]]; then cat locks/requirements*.txt >"$tools/old.txt" 2>/dev/null || true; fi
grep -h '==' "$tools/old.txt" 2>/dev/null | sed 's/ *\\$//' | sort -u >"$all" || true
resolve -o "$all" requirements.txt requirements-{dev,extras,sweep}.txt

omitted=(--no-emit-package torch)
while read -r package; do
    omitted+=(--no-emit-package "$package")
done < <(grep -oE '^(nvidia|cuda|triton)[a-z0-9-]*' "$all")

mkdir -p locks
for file in requirements*.txt; do
    alone=()
    if [[ $(<"$file") == *--no-deps* ]]; then alone=(--no-deps); fi
    {
        sed 's/^/# /' "$file" # by which src/setup.sh sees whether the lock is that of the file
        resolve --generate-hashes "${omitted[@]}" "${alone[@]}" -c "$all" "$file"
    } >"$tools/lock"
    cp "$tools/lock" "locks/$file"
    say "locks/$file: $(grep -c '==.*\\$' "locks/$file") packages"
done

# NB! Without --strict, packages that the database does not know pass.
say "Looking for known vulnerabilities."
audit=("$tools/bin/pip-audit" --strict --progress-spinner off --require-hashes --disable-pip)
for file in locks/requirements*.txt; do audit+=(-r "$file"); done
"${audit[@]}" || fail "The locks are made, but not all packages are known to be safe, for the reason above."
