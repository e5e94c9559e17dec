"""The committed networks of AI85: their integers are what the quantizer's rule makes of the trained weights."""

from pathlib import Path

import pytest
import torch
from ai85_integers import quantize

import ai85net
import checkpoint

TRAINED = Path(__file__).resolve().parents[2] / "ai8x-synthesis" / "trained"
TRAINED_QUANTIZED = sorted(TRAINED.glob("ai85-*-qat*.pth.tar"))


def integers_of(path: Path) -> Path:
    """The quantized file that belongs to a trained one: ...-qat8 and ...-q8, ...-qatmixed and ...-mixed."""
    return path.with_name(path.name.replace("-qatmixed", "-mixed").replace("-qat", "-q"))


@pytest.mark.parametrize("path", TRAINED_QUANTIZED, ids=lambda path: path.name.removesuffix(".pth.tar"))
def test_committed_integers_follow_from_the_committed_weights(path):
    trained, exact = (checkpoint.load(file).weights for file in (path, integers_of(path)))
    layers = [name.removesuffix(".op.weight") for name in trained if name.endswith(".op.weight")]
    assert layers == ["conv1", "conv2", "conv3", "conv4", "fc"]
    for layer in layers:
        weight, bias = (trained[f"{layer}.op.{kind}"].numpy() for kind in ("weight", "bias"))
        bits, bias_bits = (int(trained[f"{layer}.{kind}_bits"]) for kind in ("weight", "bias"))
        made = quantize(weight, bias, bits, float(trained[f"{layer}.shift_quantile"]), bias_bits)
        assert (exact[f"{layer}.op.weight"].numpy() == made.weight).all()
        assert (exact[f"{layer}.op.bias"].numpy() == made.bias * 2 ** (bits - 1)).all()
        assert int(exact[f"{layer}.output_shift"]) == made.shift
        assert int(exact[f"{layer}.weight_bits"]) == bits


@pytest.mark.parametrize("path", TRAINED_QUANTIZED, ids=lambda path: path.name.removesuffix(".pth.tar"))
def test_committed_networks_compute_the_same_trained_and_exactly(path):
    """On random bytes: 128 * 2**(bits - 1) times the scores of quantized training are the exact mode's."""
    data = torch.randint(-128, 128, (20, 1, 28, 28), generator=torch.Generator().manual_seed(1)).float()
    scores = []
    for file, simulate, unit in ((path, False, 128), (integers_of(path), True, 1)):
        model = ai85net.ai85net5(bias=True, simulate=simulate)
        checkpoint.load_weights(model, checkpoint.load(file), "ai85net5")
        with torch.no_grad():
            scores.append(model(data / unit))
    assert scores[1].abs().max() > 100
    assert torch.equal(scores[0] * model.score_unit, scores[1])


def test_networks_of_both_data_sets_are_committed():
    names = {path.name.removesuffix(".pth.tar") for path in TRAINED_QUANTIZED}
    assert {"ai85-fashionmnist-qat8", "ai85-fashionmnist-qatmixed", "ai85-mnist-qat8"} <= names
