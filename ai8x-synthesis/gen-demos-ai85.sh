#!/bin/sh
# Generates a program for MAX78000 (AI85), with softmax, of every network in networks/ai85/.
# usage: ./gen-demos-ai85.sh [FOLDER]     writes FOLDER/ai85-NETWORK for each; default: demos/
# Then: ./cnn-run.py demos/ai85-mnist
set -e
here=$(dirname "$0")
demos=${1:-$here/demos}
demo() { # NETWORK OPTION...
    echo "=== $1"
    network=$1
    shift
    python3 "$here/cnn-gen.py" --ai85 --verbose -L --test-dir "$demos" --prefix "ai85-$network" \
        --config-file "$here/networks/ai85/$network.yaml" "$@" --embedded-code --softmax
}
while read -r network checkpoint; do
    demo "$network" --checkpoint-file "$here/trained/$checkpoint.pth.tar"
done < "$here/networks/ai85/checkpoints.txt"
# Nothing trained these here: their weights are random, made from a seed.
demo mnist-80wide --seed 1 --sample-input "$here/samples/sample_mnist.npy"
demo cifar10 --seed 1 --sample-input "$here/samples/sample_cifar-10.npy"
demo cifar10-mixed --seed 1 --sample-input "$here/samples/sample_cifar-10.npy"
demo kws20 --seed 1 --sample-input "$here/samples/sample_kws_20.npy"
demo waves --seed 1
