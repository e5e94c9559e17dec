"""The log directory of an analysis."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import construction
import runlog

log = logging.getLogger(__name__)


@contextmanager
def log_directory(options: argparse.Namespace, arguments: Sequence[str]) -> Iterator[Path]:
    """Make the directory for what an analysis writes, with a log file. `logs/latest` stays the newest training run."""
    directory = runlog.create(options.out_dir, options.name)
    with runlog.log_file(directory):
        log.info("Log directory: %s", directory)
        runlog.log_environment(arguments, construction.compute_device(options))
        yield directory
