"""`open_completer`: the model or engine that settings ask for. May download a checkpoint."""

from __future__ import annotations

from diffufix.completion.types import Completer
from diffufix.config import Settings


def open_completer(settings: Settings) -> Completer:
    """By `model`, `adapter`, `device` and `dtype` of the settings.

    Raises CheckpointError, PrerequisiteError, UsageError.
    """
    from diffufix.completion.diffusing import DiffusionCompleter
    from diffufix.completion.embedded import EmbeddedCompleter
    from diffufix.registry.policy import choose_policy

    model = choose_policy(settings).load(settings.device, settings.dtype)
    return EmbeddedCompleter(model) if model.family.appended else DiffusionCompleter(model)
