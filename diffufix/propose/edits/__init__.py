"""Edits of suspicious code that are known without asking a model for a fill."""
