#!/usr/bin/env bash
# The main job on examples/shop, in a scratch copy: failing tests, the repair, green tests; then
# two bodies for stubs of examples/garden.
# Usage: demo.sh FOLDER, where FOLDER holds the `python` and `diffufix` to use.
set -u
bin=$1
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -R "$here/shop" "$scratch/shop"
cd "$scratch/shop" || exit 2

say() { printf '\n$ %s\n' "$*"; }

say "pytest --quiet --tb=no"
"$bin/python" -m pytest --quiet --tb=no -p no:cacheprovider

say "diffufix repair --model mini --budget 60 --apply --accept plausible"
"$bin/diffufix" repair --python "$bin/python" --model mini --budget 60 --apply --accept plausible
status=$?

say "pytest --quiet --tb=no"
"$bin/python" -m pytest --quiet --tb=no -p no:cacheprovider

cp -R "$here/garden" "$scratch/garden"
cd "$scratch/garden" || exit 2

say "diffufix generate garden/beds.py::area garden/beds.py::Bed.is_empty --model mini --budget 20"
"$bin/diffufix" generate --python "$bin/python" --model mini --budget 20 \
    garden/beds.py::area garden/beds.py::Bed.is_empty
# `mini` does not find every body; the demo's exit status is the repair's.
exit $status
