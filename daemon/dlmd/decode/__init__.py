"""From parts of text and a model to filled holes. Tensors only: no threads, no sockets."""

from dlmd.decode.cached import denoise_cached
from dlmd.decode.canvas import Canvas, Hole, Part, Pieces, splice
from dlmd.decode.commit import schedule
from dlmd.decode.infill import Frame, infill
from dlmd.decode.loop import denoise
from dlmd.decode.modes import InfillSettings
from dlmd.decode.pins import Pin
from dlmd.decode.published import choose, score, step
from dlmd.decode.settings import DecodeSettings
from dlmd.decode.tokenizer import Tokenizer

__all__ = [
    "Canvas",
    "DecodeSettings",
    "Frame",
    "Hole",
    "InfillSettings",
    "Part",
    "Pieces",
    "Pin",
    "Tokenizer",
    "choose",
    "denoise",
    "denoise_cached",
    "infill",
    "schedule",
    "score",
    "splice",
    "step",
]
