"""What a command in bubblewrap sees of the file system: nothing but what is listed. Only reads.

The system's own folders, the interpreter and what was asked for, all read-only; empty folders in
the place of /tmp, /run and the like; the scratch tree and its three folders, which may be written.
Homes, sockets, named pipes and whatever lies beside the project are not there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

#: Read-only, as far as they are there.
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store"),
    *("/gnu/store", "/sys", "/var/cache/fontconfig", "/var/lib/alternatives"),
)  # fmt: skip
#: Never shown, wherever they lie.
MASKED = ("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/sudoers")
#: Not shown as a whole, whatever is asked for.
NEVER = ("/", "/tmp", "/var/tmp", "/run", "/dev", "/proc", "/home", "/root", "/var", "/mnt", "/srv")
#: Empty, and of bounded size; what is written there is gone with the sandbox.
EMPTY = ("/tmp", "/var/tmp")
_MODULES = (".py", ".so", ".pth")
#: Folders that hold packages and nothing else: shown whole, as a mount for each would take long.
_PACKAGES = frozenset({"site-packages", "dist-packages"})
_PLACES = os.environ.get("PATH", "") + os.pathsep + os.defpath
SIZE = 2 * 2**30  # bytes of each of them


def arguments(writable: Sequence[str], readable: Iterable[str]) -> list[str]:
    """bubblewrap's mounts; later ones lie over earlier ones."""
    words: list[str] = []
    for path in SYSTEM:
        words += _shown(path)
    words += ["--dev", "/dev", "--proc", "/proc"]
    # Who is root outside may write the kernel's settings, whatever rights were dropped.
    for path in ("/proc/sys", "/proc/sysrq-trigger"):
        words += ["--ro-bind-try", path, path]
    for path in (*EMPTY, "/dev/shm", "/run"):
        words += ["--size", str(SIZE)] if _knows("--size") else []
        words += ["--tmpfs", path]
    words += ["--mqueue", "/dev/mqueue"]
    for path in MASKED:
        words += ["--ro-bind-try", "/dev/null", path] if os.path.exists(path) else []
    covered = tuple(f"{path}/" for path in SYSTEM if not os.path.islink(path))
    for path in sorted(set(readable), key=lambda path: (len(path), path)):
        if os.path.exists(path) and path not in NEVER and not path.startswith(covered):
            words += ["--ro-bind", path, path]
    for path in writable:
        words += ["--bind", path, path]
    for path in ("/run", "/dev", "/"):
        words += ["--remount-ro", path]
    return words


@functools.cache
def _knows(option: str) -> bool:
    """Whether this bubblewrap has an option that older ones have not."""
    try:
        told = subprocess.run(
            [shutil.which("bwrap", path=_PLACES) or "bwrap", "--help"],
            capture_output=True,
            timeout=10,
            text=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return option in told.stdout + told.stderr


def _shown(path: str) -> list[str]:
    if os.path.islink(path):  # merged /usr
        return ["--symlink", os.readlink(path), path]
    return ["--ro-bind", path, path] if os.path.isdir(path) else []


def importable(path: str) -> list[str]:
    """What can be imported from a folder that may hold other things, sockets among them."""
    if path == "/":
        return []
    if not os.path.isdir(path):
        return [path] if os.path.isfile(path) else []  # a zip archive
    if os.path.basename(path) in _PACKAGES:
        return [path]
    found = []
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            module = entry.is_file() and entry.name.endswith(_MODULES)
            if module or (entry.is_dir() and _holds_modules(entry)):
                found.append(entry.path)
    return found


def _holds_modules(folder: os.DirEntry[str]) -> bool:
    if folder.name.endswith("-info"):
        return True
    with contextlib.suppress(OSError), os.scandir(folder.path) as entries:
        return any(entry.name.endswith(_MODULES) for entry in entries)
    return False


def links_on_the_way(path: str) -> list[str]:
    """The folders of every link between this path and the file that it means."""
    found, seen = [], 0
    at = Path(path).absolute()
    while at.is_symlink() and seen < 40:
        found.append(str(at.parent))
        at, seen = Path(os.path.normpath(at.parent / os.readlink(at))), seen + 1
    return [*found, str(at.parent)]
