"""Trained models: their cards, the folder that keeps them, the hub, and which one a run uses."""
