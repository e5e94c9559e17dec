"""The compression scheduler: what a Distiller YAML file asks to happen during training.

Learning-rate schedulers and their policies are supported; pruners, regularizers, quantizers and extensions are refused.
"""

from distiller.config import Schedule, read_schedule
from distiller.scheduler import CompressionScheduler

__all__ = ["CompressionScheduler", "Schedule", "read_schedule"]
