"""Every error the user can meet.

DiffufixError                 exit 2
├── UsageError                wrong arguments, unknown configuration keys
├── ProjectError              no tests, collection fails, syntax errors, unreadable sources
├── PrerequisiteError         a missing package, interpreter, engine, checkpoint
├── CheckpointError           a checkpoint folder that cannot be loaded
├── SandboxUnavailable        infrastructure failed; never a verdict about a candidate
├── StoreError                the log in .diffufix/ cannot be opened or read
├── TrainingError             training had to stop; what was learnt is saved
└── ApplyError                the patch could not be written; nothing was changed
"""

from __future__ import annotations


class DiffufixError(Exception):
    """A failure with its next step: `hint` is shown under the message."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DiffufixError):
    pass


class ProjectError(DiffufixError):
    pass


class PrerequisiteError(DiffufixError):
    pass


class CheckpointError(DiffufixError):
    pass


class SandboxUnavailable(DiffufixError):
    pass


class StoreError(DiffufixError):
    pass


class TrainingError(DiffufixError):
    pass


class ApplyError(DiffufixError):
    pass


class TooLate(Exception):
    """Something was not ready by the moment given: it is given up, and says nothing."""
