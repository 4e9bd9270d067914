"""How the command line is read, and what its help pages look like."""

from diffufix.cli.parsing.pages import CliCommand, CliGroup
from diffufix.cli.parsing.passthrough import PytestCommand, check_tests, stops_early

__all__ = ["CliCommand", "CliGroup", "PytestCommand", "check_tests", "stops_early"]
