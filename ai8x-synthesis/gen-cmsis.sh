#!/bin/sh
# Generates a demo in software with CMSIS-NN, with classification layer, of every network in networks/.
# usage: ./gen-cmsis.sh [FOLDER]     writes FOLDER/NETWORK-cmsis for each; default: demos/
# Then: ./cnn-run.py demos/mnist-chw-cmsis
set -e
here=$(dirname "$0")
demos=${1:-$here/demos}
demo() { # NETWORK CHECKPOINT
    echo "=== $1"
    python3 "$here/cnn-gen.py" -L --top-level cnn --test-dir "$demos" --prefix "$1-cmsis" \
        --config-file "$here/networks/$1.yaml" --checkpoint-file "$2" --fc-layer --embedded-code --cmsis-software-nn
}
while read -r network checkpoint; do
    demo "$network" "$here/trained/$checkpoint.pth.tar"
done < "$here/networks/checkpoints.txt"
# There are no recordings of speech here to train ai84net7 with: its weights are random, made from a seed.
python3 "$here/synthetic.py" --checkpoint "$demos/ai84net7-random.pth.tar"
demo ai84net7 "$demos/ai84net7-random.pth.tar"
