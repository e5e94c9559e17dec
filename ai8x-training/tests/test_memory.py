"""Memory that training frees stays with the process."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1]
BLOCK, ROUNDS = 48 * 2**20, 20
PROGRAM = f"""
import resource, sys, torch
sys.path.insert(0, {str(FOLDER)!r})
import memory
if sys.argv[1] == "kept":
    memory.keep_freed()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def take_and_free():
    for _ in range({ROUNDS}):
        torch.zeros({BLOCK}, dtype=torch.uint8)
take_and_free()
before = faults()
take_and_free()
print(faults() - before)
"""


def page_faults(how: str) -> int:
    """How often the system gives memory to a process that takes and frees a block again and again, after a while."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of Linux")
def test_a_freed_block_is_used_again():
    assert 100 * page_faults("kept") < page_faults("returned")
