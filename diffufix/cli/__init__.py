"""Repairs failing tests with a masked diffusion language model.

Examples:
  diffufix repair                    # find a patch for what fails, show it
  diffufix repair tests/test_x.py    # only what fails there
  diffufix apply                     # write the patch that was found last
  diffufix doctor                    # what works here, and what is missing
"""

from diffufix.cli.app import main

__all__ = ["main"]
