"""SIGTERM as an exception, so that it cleans up and gets its message like Ctrl-C does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """SIGTERM has arrived. Like KeyboardInterrupt it is no Exception, so that nothing takes it for an error."""


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """The signal handler."""
    raise Terminated


def behind(error: BaseException) -> BaseException | None:
    """The KeyboardInterrupt or Terminated that an error is, or in whose course it was raised; None if there is none.

    What a library does when an exception passes may itself fail, where a signal came half-way through its preparations.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, KeyboardInterrupt | Terminated):
        found = found.__context__
    return found


@contextmanager
def terminable() -> Iterator[None]:
    """Make SIGTERM raise Terminated inside the `with` block."""
    previous = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
