#!/usr/bin/env bash
# Repair, train, repair again: examples/shop in a scratch copy. The model practises on the repaired
# project, the faults are put back, and they are repaired with what was learned.
# Usage: learn.sh FOLDER, where FOLDER holds the `diffufix` to use. MINUTES: of learning.
set -u
bin=$1
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -R "$here/shop" "$scratch/shop"
cd "$scratch/shop" || exit 2

run() {
    printf '\n$ diffufix %s\n' "$*"
    "$bin/diffufix" "$@"
}

export DIFFUFIX_PYTHON="$bin/python" DIFFUFIX_MODEL=mini
run repair --budget 60 --apply --accept plausible || exit
run train --self-play --minutes "${MINUTES:-5}"
run undo && run repair --budget 60
