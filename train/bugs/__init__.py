"""Broken code to learn from: mutation operators, and fixes out of commit histories."""
