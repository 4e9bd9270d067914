"""The user's word for what a project brings along, and the seal of what diffufix made itself.

A clone may name an interpreter, reward functions or a weaker sandbox in its pyproject.toml, and
may contain a `.diffufix/` that somebody else has filled. None of it is used before the user has
said so: once per project and content, on a terminal or with `--trust`.

Touches `diffufix/` in the user's configuration directory: `trusted.json` (project -> digest of what
was allowed) and `key`, from which the seal of every `.diffufix/` is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from diffufix.errors import UsageError

SEAL = "seal"  # in `.diffufix/`
_LARGEST = 1 << 20  # bytes of a file of ours


def configuration() -> Path:
    """The user's directory for diffufix; may not exist."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".config"
    return home / "diffufix"


def require(root: Path, brought: Mapping[str, str], granted: bool) -> None:
    """Return where the user has allowed what the project in `root` brings.

    `brought` maps what it is, in words, to its content. `granted`: allowed now, and remembered.
    Raises UsageError where nobody can be asked or the answer is no.
    """
    if not brought:
        return
    digest = hashlib.sha256(json.dumps(sorted(brought.items())).encode()).hexdigest()
    known = _read_known()
    place = str(root.resolve())
    if known.get(place) == digest:
        return
    listed = "; ".join(sorted(brought))
    if not granted and not _asked(place, listed):
        raise UsageError(
            f"This project brings along what would act outside of a sandbox: {listed}.",
            "Look at it; if you trust it, repeat with --trust (asked once per content).",
        )
    with contextlib.suppress(OSError):
        _replace(configuration() / "trusted.json", json.dumps({**known, place: digest}, indent=1))


def _asked(place: str, listed: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(
        f"{visible(place)} brings along: {visible(listed)}.\n"
        "It would act outside of a sandbox, with your rights. Trust it? [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _read_known() -> dict[str, str]:
    try:
        found = json.loads(read_regular(configuration() / "trusted.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# -- the seal of a folder --------------------------------------------------------------------------


def seal(folder: Path) -> None:
    """Mark a folder as made by this user on this machine. Raises OSError."""
    mark = secrets.token_hex(16)
    with contextlib.suppress(FileNotFoundError):
        (folder / SEAL).unlink()
    _replace(folder / SEAL, f"{mark} {_sign(mark)}\n", keep=True)


def sealed(folder: Path) -> bool:
    """Whether this user made the folder on this machine."""
    try:
        mark, _, signature = read_regular(folder / SEAL).strip().partition(" ")
    except (OSError, ValueError):
        return False
    return hmac.compare_digest(signature.encode(), _sign(mark).encode())


def _sign(mark: str) -> str:
    return hmac.new(_key(), f"{mark} {_machine()}".encode(), hashlib.sha256).hexdigest()


def _machine() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError):
            return Path(path).read_text("ascii", "replace").strip()
    return os.uname().nodename


def _key() -> bytes:
    """The user's own; made on first use. Where none can be kept: the user's id, which is weak."""
    path = configuration() / "key"
    with contextlib.suppress(OSError, ValueError):
        return bytes.fromhex(read_regular(path).strip())
    key = secrets.token_bytes(32)
    try:
        _replace(path, key.hex() + "\n", keep=True)
        return bytes.fromhex(read_regular(path).strip())
    except (OSError, ValueError):
        return f"uid {os.getuid()}".encode()


# -- files that a stranger may have laid ----------------------------------------------------------


def read_regular(path: Path) -> str:
    """The text of a file that is no link, no pipe and not too large. Raises OSError, ValueError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(handle, encoding="utf-8") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size > _LARGEST:
            raise ValueError(f"{path} is no plain file")
        return file.read()


def _replace(path: Path, text: str, keep: bool = False) -> None:
    """Written whole or not at all, readable by the user alone; `keep`: unless it is there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        if keep:
            with contextlib.suppress(FileExistsError):
                os.link(name, path)
            os.unlink(name)
        else:
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# -- text for a terminal ---------------------------------------------------------------------------

#: Direction marks and their like, which make text read otherwise than it is.
_HIDDEN = frozenset(
    (0xAD, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x2028, 0x202F))
) | frozenset((*range(0x2060, 0x2070), *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080)))


def visible(text: str) -> str:
    """The text with everything that a terminal would obey, or hide, written out."""
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or (character.isprintable() and code not in _HIDDEN):
        return character
    if code < 0x20 or 0x7F <= code < 0xA0 or code in _HIDDEN or 0xD800 <= code < 0xE000:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character
