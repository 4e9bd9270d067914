"""A reward function for verl (https://verl.readthedocs.io), by its settings

    custom_reward_function.path=.../diffufix/trainers/verl.py
    custom_reward_function.name=compute_score

`ground_truth` of a row is the task (`GradedTask`), as JSON text or as a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffufix.trainers.scoring import GradedTask, default_scorer


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str | Mapping[str, Any],
    extra_info: Mapping[str, Any] | None = None,
    **more: Any,
) -> float:
    """The reward of one completion. Raises SandboxUnavailable where the infrastructure failed for
    good, as a number would be taken for what the completion is worth."""
    return default_scorer().score(GradedTask.of(ground_truth), solution_str)
