"""The compression scheduler: what a Distiller YAML file asks to happen during training.

Learning rates, pruning, regularization and quantization, in the epochs that the file's policies say.
"""

from distiller.config import Schedule, read_schedule
from distiller.scheduler import CompressionScheduler

__all__ = ["CompressionScheduler", "Schedule", "read_schedule"]
