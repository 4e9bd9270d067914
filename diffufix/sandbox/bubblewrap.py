"""bubblewrap, and what of this machine a command in it is to see. Starts interpreters to ask."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from diffufix.errors import PrerequisiteError
from diffufix.sandbox import mounts


@functools.cache
def bubblewrap() -> str:
    """Where the program lies, whatever PATH becomes later."""
    places = os.environ.get("PATH", "") + os.pathsep + os.defpath
    return shutil.which("bwrap", path=places) or "bwrap"


@functools.cache
def bubblewrap_works() -> bool:
    """Whether `bwrap` is installed and may make namespaces here (some systems forbid it)."""
    if sys.platform != "linux" or not os.path.isabs(bubblewrap()):
        return False
    probe = [
        bubblewrap(),
        *mounts.arguments((), ()),
        "--unshare-ipc",
        "--as-pid-1",
        "--unshare-pid",
    ]
    probe += ["--unshare-net", "--die-with-parent", "true"]
    try:
        return subprocess.run(probe, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def enclosed_command(
    readable: Sequence[str], folder: str, writable: Sequence[str] = ()
) -> list[str]:
    """bubblewrap with its arguments, to be put before a command that sees `readable`, may write
    `writable` and has nothing else; `folder` is shown to be run in."""
    words = [
        bubblewrap(),
        *mounts.arguments(writable, readable),
        "--unshare-all",
        "--cap-drop",
        "ALL",
    ]
    words += ["--die-with-parent", "--new-session", "--setenv", "HOME", "/tmp"]
    return [*words, "--chdir", folder if folder in writable else "/", "--"]


#: Asked once of each interpreter: starting it takes longer than anything else here.
_ASK = """
import json, site, sys
found = [m for n, m in list(sys.modules.items()) if "__editable__" in n]
more = [str(p) for m in found for p in getattr(m, "MAPPING", {}).values()]
user = site.getuserbase() if site.getusersitepackages() in sys.path else ""
print(json.dumps([user, sys.prefix, sys.base_prefix, *sys.path, *more]))
"""


@functools.cache
def _asked(python: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """The user's base folder, the prefixes, and what is on `sys.path`. Raises PrerequisiteError."""
    try:
        answer = subprocess.run(
            [*before, python, "-c", _ASK], capture_output=True, timeout=60, check=True, cwd="/"
        )
        return tuple(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PrerequisiteError(
            f"the interpreter {python} does not run", "name a working one with --python"
        ) from error


@functools.cache
def interpreter_paths(python: str, before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What the interpreter reads: its prefixes and what every entry of its sys.path has to import.

    `before` is what the interpreter is to be run behind.

    Raises: PrerequisiteError when it does not run.
    """
    found = _asked(python, before)[1:]
    prefixes = {path for path in found[:2] if path}
    prefixes |= {os.path.realpath(path) for path in prefixes}
    prefixes |= {*mounts.links_on_the_way(python), str(Path(python).resolve().parent.parent)}
    kept = set(prefixes)
    for path in {p for entry in found for p in (entry, os.path.realpath(entry)) if entry}:
        whole = path.startswith(tuple(f"{prefix}/" for prefix in prefixes))
        kept.update([path] if whole else mounts.importable(path))
    return tuple(sorted(path for path in kept if os.path.exists(path) and path != "/"))


def user_base(python: str, before: tuple[str, ...] = ()) -> str:
    """The folder of the packages that the user has installed for himself, where the interpreter
    imports from it; else empty. Raises PrerequisiteError."""
    return _asked(python, before)[0]
