#!/bin/sh
# Generates a test for RTL simulation of every network in networks/.
# usage: ./gen-rtlsims.sh [FOLDER]     writes FOLDER/NETWORK-SHAPES for each, and FOLDER/autogen_list; default: rtlsim/
# Then: ./cnn-run.py rtlsim/mnist-chw-1x28x28...
set -e
here=$(dirname "$0")
tests=${1:-$here/rtlsim}
rtlsim() { # NETWORK CHECKPOINT
    echo "=== $1"
    python3 "$here/cnn-gen.py" --verbose -L --top-level cnn --test-dir "$tests" --autogen "$tests" --prefix "$1" \
        --config-file "$here/networks/$1.yaml" --checkpoint-file "$2"
}
while read -r network checkpoint; do
    rtlsim "$network" "$here/trained/$checkpoint.pth.tar"
done < "$here/networks/checkpoints.txt"
# There are no recordings of speech here to train ai84net7 with: its weights are random, made from a seed.
python3 "$here/synthetic.py" --checkpoint "$tests/ai84net7-random.pth.tar"
rtlsim ai84net7 "$tests/ai84net7-random.pth.tar"
