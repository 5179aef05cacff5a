# shellcheck shell=bash
# Sourced by every script, by its full path: makes .venv on the first run, keeps it in step with
# requirements.txt, and sets $root (the clone) and $python (its interpreter). If there is nothing to
# do, it starts no other program. Its messages go to stderr; a failure with a message exits with 2.
# PYTHON=/path/to/python3.12 names the interpreter to make .venv with.
#
# NB! .venv/unfinished exists whenever .venv may be incomplete, and removing it is the last step of a
# set-up: whatever interrupts a set-up, the next run sees the file and makes a new .venv.
set -euo pipefail

root=${BASH_SOURCE[0]%/src/setup.sh}
venv=$root/.venv
python=$venv/bin/python
export MPLCONFIGDIR=${MPLCONFIGDIR:-$venv/matplotlib} # its font cache, else in the user's home

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 2
}

# Was .venv made with the file $1 as it is now?
same() { [[ -r $venv/$1 && $(<"$venv/$1") == "$(<"$root/$1")" ]]; }

# Does .venv have what the requirements file $1 asks for?
has() { same "$1" && { [[ ! -e $root/locks/$1 ]] || same "locks/$1"; }; }

# Was the lock of the requirements file $1, which begins with a copy of it, made for it as it is now?
is_locked() { [[ -r $root/locks/$1 && $(<"$root/locks/$1") == "$(sed 's/^/# /' "$root/$1")"$'\n'* ]]; }

# Is .venv complete, its Python the one it was made with, and its packages those of the files $@?
is_ready() {
    local file
    [[ ! -e $venv/unfinished && $python -ef $venv/interpreter ]] || return 1
    for file in "$@"; do has "$file" || return 1; done
}

# Sets $base to the real path of the first usable Python: .venv's own, so that an update does not
# change it, or else one on the PATH.
find_base() {
    local name answer problem='' names=("$python" python3 python3.14 python3.13 python3.12 python3.11)
    [[ -z ${PYTHON-} ]] || names=("$PYTHON")
    for name in "${names[@]}"; do
        answer=$("$name" -c '
import os, sys
version = "%d.%d" % sys.version_info[:2]
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    print(version); sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    print(version); sys.exit(4)
print(os.path.realpath(sys.executable))' 2>/dev/null) && {
            base=$answer
            return
        }
        case $? in
        3) answer="but $name is $answer: install another" ;;
        4) answer="and $name is one, but it lacks the venv module: install that (Debian, Ubuntu: sudo apt install python$answer-venv)" ;;
        *) continue ;;
        esac
        [[ -n $problem ]] || problem=$answer
    done
    [[ -n $problem ]] || problem="but ${PYTHON:-python3} does not run: install it (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.13)"
    fail "Simple DQN needs Python 3.11 to 3.14, $problem, or name one with PYTHON=/path/to/python3.12, and run this again."
}

# Takes the lock on set-ups, which is released whenever this process and its children end. Python
# takes it, because macOS has no flock command; the lock stays with descriptor 9.
lock() {
    { exec 9>"$venv.lock"; } 2>/dev/null || fail "Cannot write in $root: make it writable, or clone Simple DQN to a folder of your own."
    "$base" -c '
import fcntl, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Another script is setting up .venv; waiting for it.", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # a file system without locks'
}

# What to say of PyTorch's CUDA, which takes three times the disk and is of no use without a GPU.
# Which build pip takes is the choice of the index it asks, and that is the user's.
cuda_choice() {
    [[ $OSTYPE == linux* && -z ${PIP_EXTRA_INDEX_URL-}${PIP_INDEX_URL-} ]] || return 0
    [[ ! -e /dev/nvidiactl && ! -e /dev/dxg ]] || return 0 # dxg: the GPU under Windows
    printf ' There is no NVIDIA GPU here; docs/platforms.md says how to leave CUDA out.'
}

# The process ids of the scripts that run from .venv now.
users() {
    local pid command
    { ps -A -ww -o pid= -o args= 2>/dev/null || true; } | while read -r pid command; do
        [[ $command != "$python "* ]] || printf ' %s' "$pid"
    done
}

# Passes lines on and shows the latest one on a terminal.
show_progress() {
    local line
    while IFS= read -r line || [[ -n $line ]]; do
        printf '%s\n' "$line"
        [[ ! -t 2 ]] || printf '\r\033[K  %.70s' "$line" >&2
    done
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
}

# Runs one step of a set-up; if it fails, undoes what can be undone and says why in one sentence.
attempt() {
    local output
    output=$(TMPDIR=$venv/tmp PIP_USER=no PIP_QUIET=0 "$@" 2>&1 </dev/null | show_progress) && return
    if [[ $new == true ]]; then
        rm -rf "$venv" # nothing in it is worth the disk it takes
    elif [[ $output != *"Installing collected packages"* ]]; then
        rm -f "$venv/unfinished" # pip only looked and downloaded: what was there still works
    fi
    case $output in
    *"No space left on device"* | *"Disk quota exceeded"*)
        fail "The disk of $root is full: the set-up needs 2 GB of free disk, or 7 GB with CUDA: free some and run this again." ;;
    *NewConnectionError* | *NameResolutionError* | *"Failed to establish a new connection"* | *[Tt]"imed out"* | *ProxyError* | *SSLError* | *"Could not fetch URL"* | *"Network is unreachable"*)
        fail "Cannot reach the package index to download what .venv lacks: check the network, or pip's proxy and index settings, and run this again." ;;
    *"DO NOT MATCH THE HASHES"*)
        say "${output#*DO NOT MATCH THE HASHES}"
        fail "A downloaded package is not the file that $root/locks names: check pip's index settings, and run this again." ;;
    *"No matching distribution found for "*)
        output=${output##*No matching distribution found for }
        fail "pip finds no ${output%%[[:space:]]*} for $base on this machine: try another Python with PYTHON=/path/to/python3.12, or check pip's index settings, and run this again." ;;
    esac
    [[ ${#output} -le 2000 ]] || output=...${output:(-2000)}
    say "$output"
    fail "Could not set up .venv, for the reason above: remove that and run this again."
}

# NB! In these two, as in all that `attempt` runs, a failing command does not end the script.
begin() { mkdir -p "$venv/tmp" && : >"$venv/unfinished"; }

# Only files that are gone lose their stamps: set_up installs all the others together.
finish() {
    local file
    rm -rf "$venv/tmp" "$venv/locks" "$venv"/requirements*.txt && mkdir "$venv/locks" || return
    for file in "$@"; do
        cp "$root/$file" "$venv/$file" || return
        [[ ! -e $root/locks/$file ]] || cp "$root/locks/$file" "$venv/locks/$file" || return
    done
    ln -sfn "$(readlink -f "$python")" "$venv/interpreter" && rm "$venv/unfinished"
}

set_up() {
    local base file using new=false arguments=() alone=() locked=() pip
    find_base
    lock
    if is_ready "$@"; then return; fi # another script has just made it
    for file in "$venv"/requirements*.txt; do # what other scripts asked for stays
        file=${file##*/}
        [[ ! -r $root/$file || " $* " == *" $file "* ]] || set -- "$@" "$file"
    done
    using=$(users)
    if [[ -n $using && -r $venv/requirements.txt && ! -e $venv/unfinished ]] && ! has requirements.txt; then
        say "requirements.txt has changed, but process$using still runs from .venv: the first script after its end updates it."
        return
    fi

    if [[ -e $venv/unfinished ]] || ! [[ $python -ef $base ]] || ! "$python" -m pip --version &>/dev/null; then
        [[ -z $using || ! -e $venv ]] || fail ".venv must be made again, but process$using still runs from it: run this again after its end."
        if [[ -e $venv ]]; then say "Making .venv again: it was left half-made, or its Python has changed."; fi
        say "Setting up .venv, once: this takes a few minutes, and needs 2 GB of free disk while it installs, or 7 GB with CUDA.$(cuda_choice)"
        new=true
        rm -rf "$venv"
        attempt begin
        attempt "$base" -m venv "$venv"
    else
        say "Updating .venv to $*."
        attempt begin
    fi
    for file in "$@"; do
        if is_locked "$file"; then locked+=(-r "$root/locks/$file"); fi
        if [[ $(<"$root/$file") == *--no-deps* ]]; then # the file says so where it says how
            alone+=(-r "$root/$file")
        else
            arguments+=(-r "$root/$file")
        fi
    done
    pip=("$python" -m pip install --disable-pip-version-check --no-input)
    # What is in no lock comes afterwards, without hashes: PyTorch (docs/lock.sh says why), and the
    # packages of a requirements file that has been changed since its lock was made.
    [[ ${#locked[@]} == 0 ]] || attempt "${pip[@]}" --require-hashes --no-deps "${locked[@]}"
    attempt "${pip[@]}" "${arguments[@]}"
    [[ ${#alone[@]} == 0 ]] || attempt "${pip[@]}" --no-deps "${alone[@]}"
    attempt finish "$@"
    say ".venv is ready."
}

# Makes sure that .venv has the packages of the requirements files $@.
ensure() {
    if ! is_ready "$@"; then
        set_up "$@"
        exec 9>&-
    fi
}

ensure requirements.txt
