"""A rule that the training layers state is stated by cnn-gen.py in the same words."""

import ai84rules as ai84
from izer.targets import TARGETS


def test_training_and_generator_state_their_common_rules_alike():
    generator = {rule.id: rule.text for rule in TARGETS[84].rules}
    layers = {rule.__name__.removeprefix("rule_").replace("_", "-"): rule.__doc__ for rule in ai84.RULES}
    network = {"layers-max": ai84.LAYERS_MAX, "pool-divide": ai84.POOL_DIVIDE, "pool4-last": ai84.POOL4_LAST,
               "avg4-relu": ai84.AVG4_RELU, "conv1d": ai84.CONV1D}  # fmt: skip
    training = layers | network
    common = generator.keys() & training.keys()
    assert common >= {"pad", "channels-max", "pool-size", "pool-stride", *network}
    assert {key: training[key] for key in common} == {key: generator[key] for key in common}
