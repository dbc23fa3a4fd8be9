#!/usr/bin/env bash
# Runs the commands of README.md in this folder. It first removes ./data, where
# an earlier run left its database and repository.
set -euo pipefail
cd "$(dirname "$0")"
PATH=$PWD/../../bin:$PATH
rm -rf data

PS4=$'\n$ '
set -x
rocksnap init
rocksnap db load orders.tsv
rocksnap snapshot --label reason=quickstart
rocksnap list
rocksnap restore latest --target data/restored

# Nothing was lost: the objects are whole, and both databases hold the same.
rocksnap verify --level data
rocksnap digest --db data/orders
rocksnap digest --db data/restored
