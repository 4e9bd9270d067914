"""`open_completer`: the model or engine that settings ask for. May download a checkpoint."""

from __future__ import annotations

from diffufix.completion.types import Completer
from diffufix.config import Settings
from diffufix.errors import UsageError


def open_completer(settings: Settings) -> Completer:
    """By `model`, `adapter`, `device` and `dtype` of the settings.

    Raises CheckpointError, PrerequisiteError, UsageError (several models at once).
    """
    from diffufix.engines.providers import engines_named, members

    if engines := engines_named(settings.model):
        if len(members(settings.model)) > 1:
            raise UsageError(
                f"--model names {len(members(settings.model))} models; text comes from one.",
                "Name one of them.",
            )
        from diffufix.completion.served import ServedCompleter

        return ServedCompleter(engines[0], settings.max_cost, settings.device, settings.dtype)
    from diffufix.completion.diffusing import DiffusionCompleter
    from diffufix.completion.embedded import EmbeddedCompleter
    from diffufix.registry.policy import choose_policy

    model = choose_policy(settings).load(settings.device, settings.dtype, blocks=True)
    return EmbeddedCompleter(model) if model.family.appended else DiffusionCompleter(model)
