"""What one of two processes computes, for test_training_processes.py: `torchrun two_processes.py FOLDER`.

Reads data.pt, the input and the gradient of the output for both processes together; writes RANK.pt.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

import batchnorm
import launch
import processes
from distiller.quantizers import Range

CUT = 3
"""Process 0 has so many of the images, process 1 the rest."""
GAIN = 1 / 4


def main(folder: Path) -> None:
    """Compute with the share of this process."""
    mine = launch.of_environment()
    with processes.connected(mine, torch.device("cpu")):
        share = slice(CUT) if mine.is_main else slice(CUT, None)
        given, gradient = (tensor[share] for tensor in torch.load(folder / "data.pt"))
        given.requires_grad_()
        norm = batchnorm.BatchNorm2d(given.shape[1], momentum=0.3, gain=GAIN).double()
        output = norm(given)
        output.backward(gradient)
        result = {"output": output.detach(), "input": given.grad, "state": norm.state_dict()}
        result |= {"bias": norm.bias.grad.clone(), "range": Range()}
        result["range"].update(given, 0.0)
        processes.average_gradients([norm.bias], len(given))
        result |= {"mean": norm.bias.grad, "range": result["range"].limits()}
        result["told"] = processes.from_main(mine, lambda: f"rank {mine.rank}")
        torch.optim.SGD([norm.bias])
    result["threads"] = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    torch.save(result, folder / f"{mine.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
