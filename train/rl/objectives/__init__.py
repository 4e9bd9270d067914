"""Losses on groups of completions: coupled-GRPO, imitation, preference, and their estimators."""
