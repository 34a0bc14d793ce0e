#!/bin/sh
# Names, in one sentence, what this machine lacks before anything can be built here; silent when nothing is.
# Usage: tools/prerequisites.sh [python]; the interpreter defaults to python3.
set -u
python=${1:-python3}
missing=
packages=

add() { # add <what a person calls it> <apt package>
    missing="${missing:+$missing and }$1"
    case " $packages " in *" $2 "*) ;; *) packages="${packages:+$packages }$2" ;; esac
}

command -v git >/dev/null 2>&1 || add git git
command -v make >/dev/null 2>&1 || add make make
if ! command -v "$python" >/dev/null 2>&1; then
    add "Python 3.11 or newer with its venv module" python3-venv
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "tradewright needs Python 3.11 or newer, and $python is $("$python" -V 2>&1): install a newer one and name it, as in: make run PYTHON=python3.11" >&2
    exit 1
elif ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    add "Python's venv module" python3-venv
fi

[ -z "$missing" ] && exit 0
sudo=
[ "$(id -u)" -eq 0 ] || sudo="sudo "
echo "tradewright needs $missing, missing on this machine: ${sudo}apt-get update && ${sudo}apt-get install -y $packages" >&2
exit 1
