"""What of the user's environment goes into the sandbox: `choose_surroundings`. Reads `os.environ`.

Tests are first run with the variables that the user has, candidates are not: what the tests have
read must be there, too, or they come out otherwise. What looks like a secret stays outside unless
the user names it (`pass-env`). Files of the home are taken along where the tests were run outside
of the sandbox, which `--trust` asks for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffufix.errors import UsageError
from diffufix.types import TestRun

#: Names that the sandbox gives a value of its own, or that mean nothing there.
OWN = frozenset(
    {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR", "TMP", "TEMP", "VIRTUAL_ENV"}
    | {"PYTHONPATH", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE", "DISPLAY"}
    | {"PYTHONUSERBASE", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "DBUS_SESSION_BUS_ADDRESS"}
    | {"XDG_RUNTIME_DIR", "DOCKER_HOST", "KUBECONFIG", "GNUPGHOME", "COLUMNS", "LINES"}
    | {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTEST_CURRENT_TEST"}
    | {"PYTEST_VERSION", "PYTEST_THEME", "PYTEST_THEME_MODE"}
)
_SECRET = re.compile(
    r"secret|token|passw|pwd$|credential|private|api_?key|_keys?$|auth|cookie|session|^aws_|^azure_"
    r"|^gcp_|^google_|salt|signing|webhook|_pat$|dsn$",
    re.IGNORECASE,
)
_WITH_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
#: Never taken along, where they exist in the user's home.
SECRETS = (
    *(".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker", ".netrc", ".pypirc", ".npmrc"),
    *(".git-credentials", ".config/gcloud", ".config/gh", ".password-store", ".mozilla"),
)
_LARGEST, _LARGEST_FILE = 8 << 20, 1 << 20  # bytes of the home that are taken along


@dataclass(frozen=True)
class SharedEnvironment:
    """Variables and files (path in the home -> where it is) for the sandbox, and what stays out."""

    variables: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    kept_back: tuple[str, ...] = ()  # variables that were read and look like secrets


def is_secret(name: str, value: str) -> bool:
    return bool(_SECRET.search(name) or _WITH_PASSWORD.search(value))


def open_variables() -> dict[str, str]:
    """What the first run of the tests gets to see, where it goes behind bubblewrap."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in OWN
        and not name.startswith(("DIFFUFIX_", "LC_"))
        and not is_secret(name, value)
    }


def named_variables(names: str) -> dict[str, str]:
    """The variables that the user passes on, by their names between commas. Raises UsageError."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    missing = [name for name in wanted if name not in os.environ]
    if missing:
        raise UsageError(
            f"The variable {missing[0]} is to be passed on, but not set.",
            "Set it, or leave it out of --pass-env.",
        )
    return {name: os.environ[name] for name in wanted}


def choose_surroundings(run: TestRun, named: Mapping[str, str]) -> SharedEnvironment:
    """From what `run`, made outside of the sandbox, has read; `named` are passed in any case."""
    read = {
        name: os.environ[name]
        for name in run.variables
        if name in os.environ and name not in OWN and not name.startswith(("DIFFUFIX_", "LC_"))
    }
    secret = {name for name, value in read.items() if is_secret(name, value)} - {*named}
    variables = {name: value for name, value in read.items() if name not in secret} | {**named}
    return SharedEnvironment(variables, _home_files(run.home_files), tuple(sorted(secret)))


def unpassed(run: TestRun, passed: Mapping[str, str]) -> tuple[str, ...]:
    """Variables of the user's that a failing test names and asked for in vain, in a `run` in a
    container with the `passed` ones."""
    asked = [
        name for name in run.variables
        if name in os.environ and name not in OWN and name not in passed
    ]  # fmt: skip
    return tuple(
        name for name in asked
        if any(re.search(rf"\b{re.escape(name)}\b", case.report) for case in run.red)
    )  # fmt: skip


def _home_files(paths: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    total = 0
    for path in map(Path, sorted(paths)):
        try:
            relative, size = path.relative_to(Path.home()).as_posix(), path.stat().st_size
        except (OSError, ValueError):
            continue
        private = any(relative == name or relative.startswith(f"{name}/") for name in SECRETS)
        if not private and size <= _LARGEST_FILE and total + size <= _LARGEST:
            total += size
            found[relative] = path
    return found
