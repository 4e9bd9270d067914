"""Run a project's own tests under its own interpreter and hear what they say."""

from diffufix.testing.copy import copy_project, fresh_copy
from diffufix.testing.environment import child_environment
from diffufix.testing.flaky import flaky
from diffufix.testing.interpreter import find_interpreter
from diffufix.testing.run import run_tests

__all__ = [
    "child_environment",
    "copy_project",
    "find_interpreter",
    "flaky",
    "fresh_copy",
    "run_tests",
]
