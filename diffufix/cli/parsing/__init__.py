"""How the command line is read, and what its help pages look like."""

from diffufix.cli.parsing.lazy import LazyCommand, LazyCommands
from diffufix.cli.parsing.pages import CliCommand, CliGroup
from diffufix.cli.parsing.passthrough import PytestCommand, check_tests, stops_early

__all__ = [
    "CliCommand",
    "CliGroup",
    "LazyCommand",
    "LazyCommands",
    "PytestCommand",
    "check_tests",
    "stops_early",
]
