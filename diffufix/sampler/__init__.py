"""Decoding: canvases in, fills out. It knows ids and masks, and nothing of tests."""

from diffufix.sampler.denoiser import Denoiser, InlineDenoiser
from diffufix.sampler.diffusion import Generation, diffusion_generate
from diffufix.sampler.infill import infill
from diffufix.sampler.types import Canvas, Commit, Fill

__all__ = [
    "Canvas",
    "Commit",
    "Denoiser",
    "Fill",
    "Generation",
    "InlineDenoiser",
    "diffusion_generate",
    "infill",
]
