"""The command line. `main` is the entry point of the `diffufix` command."""

from diffufix.cli.app import main

__all__ = ["main"]
