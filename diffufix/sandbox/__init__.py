"""Places where code under test may run: one protocol, several backends."""

from diffufix.sandbox.local import LocalSandbox
from diffufix.sandbox.protocol import Capabilities, ExecResult, Limits, Process, Sandbox

__all__ = [
    "Capabilities",
    "ExecResult",
    "Limits",
    "LocalSandbox",
    "Process",
    "Sandbox",
]
