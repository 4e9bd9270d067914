"""Decoding: canvases in, fills out. It knows ids and masks, and nothing of tests."""

from diffufix.decode.context import Context, open_context
from diffufix.decode.diffusion import Generation, diffusion_generate
from diffufix.decode.infill import infill
from diffufix.decode.remasking import remask

__all__ = [
    "Context",
    "Generation",
    "diffusion_generate",
    "infill",
    "open_context",
    "remask",
]
