"""Decoding: canvases in, fills out. It knows ids and masks, and nothing of tests."""

from diffufix.decode.denoiser import Denoiser, InlineDenoiser
from diffufix.decode.diffusion import Generation, diffusion_generate
from diffufix.decode.infill import infill

__all__ = [
    "Denoiser",
    "Generation",
    "InlineDenoiser",
    "diffusion_generate",
    "infill",
]
