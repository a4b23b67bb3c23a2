"""Weights and network."""

from dlmd.model.cache import Cache
from dlmd.model.config import read_config
from dlmd.model.dream import Dream, DreamConfig
from dlmd.model.weights import load

__all__ = ["Cache", "Dream", "DreamConfig", "load", "read_config"]
