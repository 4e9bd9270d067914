#!/usr/bin/env bash
# The main job on examples/shop, in a scratch copy: failing tests, the repair, green tests.
# Usage: demo.sh FOLDER, where FOLDER holds the `python` and `diffufix` to use.
set -u
bin=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -R "$(dirname "$0")/shop" "$scratch/shop"
cd "$scratch/shop" || exit 2

say() { printf '\n$ %s\n' "$*"; }

say "pytest --quiet --tb=no"
"$bin/python" -m pytest --quiet --tb=no -p no:cacheprovider

say "diffufix repair --model mini --budget 60 --apply"
"$bin/diffufix" repair --python "$bin/python" --model mini --budget 60 --apply
status=$?

say "pytest --quiet --tb=no"
"$bin/python" -m pytest --quiet --tb=no -p no:cacheprovider
exit $status
