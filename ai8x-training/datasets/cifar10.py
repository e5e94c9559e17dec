"""CIFAR-10: 50,000 + 10,000 colour photographs of 10 kinds of things, 32 x 32 pixels."""

from dataclasses import replace
from functools import partial

from datasets import cifar
from datasets.images import DataSet

CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASS_FOLDERS = ("airplane", "automobile", *CLASSES[2:])

load = partial(cifar.load, cifar.Cifar("CIFAR10", "cifar10", "cifar-10-batches-py", CLASS_FOLDERS))

dataset = DataSet("CIFAR10", cifar.INPUT, CLASSES, load, horizontal_flip=True, crop_padding=4, described="CIFAR-10")
constant = replace(dataset, name="CIFAR10_constant", input=(4, 32, 32), constant=True, described="CIFAR-10_constant")
"""The same images behind a constant channel."""
