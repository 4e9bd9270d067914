"""diffufix: repair failing tests with masked diffusion language models.

The names of `__all__` are the Python API (`diffufix.api`); they are imported where they are first
used. Four of them are packages, too: `diffufix.repair` can be called and holds the modules of the
search. `__init__.pyi` has the same names for type checkers.
"""

import os as _os
import sys as _sys
from types import ModuleType as _ModuleType
from typing import Any as _Any

__version__ = "0.1.0"

#: Name -> the module that it comes from.
_HOME = {
    **dict.fromkeys(
        (
            *("repair", "localize", "verify", "generate", "runs", "apply", "undo"),
            *("Localization", "Verification", "RunOptions"),
        ),
        "diffufix.api",
    ),
    **dict.fromkeys(("RepairResult", "Status", "Offer"), "diffufix.repair.types"),
    **dict.fromkeys(
        ("Patch", "Claims", "Verdict", "State", "SuspiciousFunction", "TestRun", "TestCase"),
        "diffufix.types",
    ),
    "RunRow": "diffufix.store.query",
    **dict.fromkeys(("Event", "Listener"), "diffufix.events"),
    **dict.fromkeys(
        (
            *("DiffufixError", "UsageError", "ProjectError", "PrerequisiteError"),
            *("CheckpointError", "SandboxUnavailable", "StoreError", "ApplyError"),
        ),
        "diffufix.errors",
    ),
}
__all__ = ["__version__", *_HOME]

# OpenMP's threads wait for the next piece of work in a busy loop of milliseconds. Where anything
# else wants the cores, a model on two of them is then many times slower (bench/busy.py); where
# they sleep at once, by a third on quiet cores. A short loop costs neither. torch brings the
# library in, which reads this once: so it is set before any module of ours can import torch.
_calmed = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}.isdisjoint(_os.environ)
if _calmed:
    _os.environ["GOMP_SPINCOUNT"] = "3000"


def _load(name: str, home: str) -> _Any:
    from importlib import import_module

    return getattr(import_module(home), name)


class _Room(_ModuleType):
    """A package that is also the function of the API with its name."""

    def __call__(self, *args: _Any, **options: _Any) -> _Any:
        return self.__wrapped__(*args, **options)

    @property
    def __wrapped__(self) -> _Any:  # where `help` and `inspect.signature` look
        name = self.__name__.rpartition(".")[2]
        return _load(name, _HOME[name])


class _Package(_ModuleType):
    def __getattr__(self, name: str) -> _Any:
        if name not in _HOME:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name in _ROOMS:
            from importlib import import_module

            return import_module(f"{self.__name__}.{name}")
        return _load(name, _HOME[name])

    def __setattr__(self, name: str, value: _Any) -> None:
        """Import sets a package here once it is loaded: from then on it can be called."""
        if name in _ROOMS and type(value) is _ModuleType:
            value.__class__ = _Room
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


_ROOMS = ("repair", "localize", "verify", "generate")
_sys.modules[__name__].__class__ = _Package
