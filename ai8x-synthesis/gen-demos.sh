#!/bin/sh
# Generates an embedded demo, with classification layer, of every network in networks/.
# usage: ./gen-demos.sh [FOLDER]     writes FOLDER/NETWORK for each; default: demos/
# Then: ./cnn-run.py demos/mnist-chw
set -e
here=$(dirname "$0")
demos=${1:-$here/demos}
demo() { # NETWORK CHECKPOINT
    echo "=== $1"
    python3 "$here/cnn-gen.py" --verbose -L --top-level cnn --test-dir "$demos" --prefix "$1" \
        --config-file "$here/networks/$1.yaml" --checkpoint-file "$2" --fc-layer --embedded-code
}
while read -r network checkpoint; do
    demo "$network" "$here/trained/$checkpoint.pth.tar"
done < "$here/networks/checkpoints.txt"
# There are no recordings of speech here to train ai84net7 with: its weights are random, made from a seed.
python3 "$here/synthetic.py" --checkpoint "$demos/ai84net7-random.pth.tar"
demo ai84net7 "$demos/ai84net7-random.pth.tar"
