"""Rewards and tasks for trainers that are not ours: TRL, verl, slime; Harbor's format."""
