"""Weights and network."""

from dlmd.model.dream import Dream, DreamConfig
from dlmd.model.weights import load, read_config

__all__ = ["Dream", "DreamConfig", "load", "read_config"]
