#!/bin/sh
# Generates a test for RTL simulation of MAX78000 (AI85) of every network in networks/ai85/.
# usage: ./gen-rtlsims-ai85.sh [FOLDER]     writes FOLDER/ai85-NETWORK-SHAPES for each, and FOLDER/autogen_list; default: rtlsim/
# Then: ./cnn-run.py rtlsim/ai85-mnist-1x28x28...
set -e
here=$(dirname "$0")
tests=${1:-$here/rtlsim}
rtlsim() { # NETWORK OPTION...
    echo "=== $1"
    network=$1
    shift
    python3 "$here/cnn-gen.py" --ai85 --verbose -L --top-level cnn --test-dir "$tests" --autogen "$tests" \
        --prefix "ai85-$network" --config-file "$here/networks/ai85/$network.yaml" "$@"
}
while read -r network checkpoint; do
    rtlsim "$network" --checkpoint-file "$here/trained/$checkpoint.pth.tar"
done < "$here/networks/ai85/checkpoints.txt"
# Nothing trained these here: their weights are random, made from a seed.
rtlsim mnist-80wide --seed 1 --sample-input "$here/samples/sample_mnist.npy"
rtlsim cifar10 --seed 1 --sample-input "$here/samples/sample_cifar-10.npy"
rtlsim cifar10-mixed --seed 1 --sample-input "$here/samples/sample_cifar-10.npy"
rtlsim kws20 --seed 1 --sample-input "$here/samples/sample_kws_20.npy"
rtlsim waves --seed 1
