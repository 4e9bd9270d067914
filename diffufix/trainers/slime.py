"""A reward function for slime (https://github.com/THUDM/slime):

    --custom-rm-path diffufix.trainers.slime.custom_rm

A sample's `metadata` is the task (`GradedTask`); without one its `label` is, as JSON text.
"""

from __future__ import annotations

import asyncio
from typing import Any

from diffufix.trainers.scoring import GradedTask, default_scorer


async def custom_rm(args: Any, sample: Any, **more: Any) -> float:
    """The reward of one sample. Raises SandboxUnavailable where the infrastructure failed for
    good, as a number would be taken for what the response is worth."""
    metadata = getattr(sample, "metadata", None) or {}
    task = GradedTask.of(metadata if "project" in metadata else sample.label)
    return await asyncio.to_thread(default_scorer().score, task, sample.response)
