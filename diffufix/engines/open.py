"""Engines by their names: `open_engine`. May go to the network, or load a checkpoint."""

from __future__ import annotations

from diffufix.engines.local import TransformersEngine
from diffufix.engines.providers import EngineName
from diffufix.engines.remote import RemoteEngine
from diffufix.engines.types import Engine


def open_engine(
    name: EngineName, *, most: float = 0.5, device: str = "auto", dtype: str = "auto"
) -> Engine:
    """Raises PrerequisiteError (no server, no key, no model), CheckpointError."""
    if name.provider is None:
        return TransformersEngine.open(name.model, device, dtype)
    return RemoteEngine.open(name, most)
