"""Whether torchrun started this process, and what it says about it. Needs no PyTorch."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Processes:
    """The processes of a run and which of them this is.

    Attributes:
        rank: of this process, from 0; process 0 is the one that writes.
        count: of all processes, on all machines.
        local_rank, local_count: the same among the processes on this machine.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """The part that this process takes of `total` things in a row; sizes differ by at most one."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)


ALONE = Processes(0, 1, 0, 1)


def of_environment() -> Processes:
    """What torchrun says, or one process where it did not start this one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return Processes(*(int(os.environ[name]) for name in names))
