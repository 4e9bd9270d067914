"""The project's environment as a container image: what it needs and how it is built."""

from __future__ import annotations

from diffufix.workspace.images.build import build, image_for, image_name
from diffufix.workspace.images.dockerfile import render
from diffufix.workspace.images.plan import plan
from diffufix.workspace.images.types import Foundation, ImagePlan, Layer

__all__ = ["Foundation", "ImagePlan", "Layer", "build", "image_for", "image_name", "plan", "render"]
