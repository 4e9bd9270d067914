"""Writing a patch to the project and taking it back.

`apply` and `undo` are the only functions of diffufix that change a project's files. They write
the files of the patch (atomically, all or none) and `.diffufix/undo/`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from diffufix.config import Settings
from diffufix.errors import ApplyError
from diffufix.source.file import SourceFile
from diffufix.source.repository import uncommitted
from diffufix.store.folder import private_folder, private_path
from diffufix.trusted import read_regular
from diffufix.types import EditedFile, Patch

SHOWN = 3  # files named in a warning
_UNDONE = ".undone-"  # before the name of a record that was used


@dataclass(frozen=True)
class _Write:
    """One file to be replaced: `path` is real (links resolved)."""

    name: str
    path: Path
    before: bytes
    after: bytes


def apply(patch: Patch, root: Path, run_id: int | str, force: bool = False) -> tuple[str, ...]:
    """Write a patch to the project and keep the originals for `undo`; returns the paths written.

    All files or none. Raises ApplyError when a file changed since it was read, has uncommitted
    changes in git (unless `force`), lies outside the root, or cannot be written.
    """
    writes = [_plan(edit, root) for edit in patch.edits]
    dirty = () if force else uncommitted(root, [write.name for write in writes])
    if dirty:
        raise ApplyError(
            f"{', '.join(dirty)} has changes that are not committed.",
            "Commit or stash them, or repeat with --force.",
        )
    try:
        journal = _save_originals(writes, root, str(run_id))
    except OSError as error:
        raise ApplyError(
            f"The originals cannot be kept for undo: {error}.", "Make .diffufix/ writable."
        ) from error
    try:
        _replace_all(writes)
    except BaseException as error:
        if not _untouched(writes):
            raise ApplyError(
                "The patch was written in part and could not be taken back.",
                "Once the disk can be written again, `diffufix undo` restores the originals.",
            ) from error
        shutil.rmtree(journal, ignore_errors=True)
        raise
    return tuple(write.name for write in writes)


def refused(settings: Settings, paths: Sequence[str]) -> str:
    """A warning that a patch of some of these files would not be written; "" where any would be.

    Asked before the search, which takes minutes; `apply` and `commit` ask again. Raises ApplyError
    where none would be: all have changes that are not committed.
    """
    if not settings.commit and (not settings.apply or settings.force):
        return ""
    dirty = uncommitted(settings.root, paths)
    if not dirty:
        return ""
    named = ", ".join(dirty[:SHOWN]) + (f" and {len(dirty) - SHOWN} more" * (len(dirty) > SHOWN))
    have = "has" if len(dirty) == 1 else "have"
    told = f"{named} {have} changes that are not committed"
    if len(dirty) < len(set(paths)):
        return f"{told}: a patch there is kept, but not written"
    way = "" if settings.commit else ", or repeat with --force to write over them"
    raise ApplyError(
        f"{told}, so no patch would be written. Nothing was searched.",
        f"Commit or stash them{way}; without --apply, --commit and --branch patches are shown.",
    )


def undo(root: Path, run_id: int | str | None = None, force: bool = False) -> tuple[str, ...]:
    """Restore what the latest `apply` (or that of `run_id`) replaced; returns the paths restored.

    Raises ApplyError when there is nothing to undo or, unless `force`, when a file was changed
    after the patch was applied.
    """
    folder = private_path(root) / "undo"
    name = re.compile(r".+" if run_id is None else re.escape(str(run_id)) + r"(-\d+)?")
    journals = [entry for entry in _journals(folder) if name.fullmatch(entry.name)]
    if not journals:
        wanted = "" if run_id is None else f" of run {run_id}"
        raise ApplyError(
            f"There is no applied patch{wanted} to undo.", "`diffufix apply` writes one."
        )
    journal = journals[-1]
    try:
        entries = json.loads(read_regular(journal / "manifest.json"))
        writes = [_plan_undo(entry, journal, root, force) for entry in entries["files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ApplyError(f"The undo record {journal} is damaged: {error}.") from error
    _replace_all([write for write in writes if write.before != write.after])
    shutil.rmtree(journal, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / f"{_UNDONE}{journal.name}").touch()
    return tuple(write.name for write in writes)


def fates(root: Path) -> dict[str, str]:
    """Run -> "written" or "taken back", of the patches that were written."""
    folder = private_path(root) / "undo"
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    back = [name.removeprefix(_UNDONE) for name in names if name.startswith(_UNDONE)]
    run = re.compile(r"-\d+$")  # of a run whose patch was written again
    found = {run.sub("", name): "taken back" for name in back}
    return found | {run.sub("", entry.name): "written" for entry in _journals(folder)}


def _plan(edit: EditedFile, root: Path) -> _Write:
    """Check one edit against the file as it is now."""
    path = _inside(root, edit.path)
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise ApplyError(f"{edit.path} cannot be read: {error.strerror}.") from error
    source = SourceFile.decode(data, edit.path)
    if source.text != edit.original:
        raise ApplyError(
            f"{edit.path} changed while the repair was running.", "Run `diffufix repair` again."
        )
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise ApplyError(f"{edit.path} is read-only.", f"Make it writable: chmod u+w {edit.path}")
    try:
        return _Write(edit.path, path, data, source.encode(edit.new))
    except UnicodeEncodeError as error:
        raise ApplyError(
            f"The patch has characters that the encoding of {edit.path} ({source.encoding}) "
            f"cannot hold: {error.object[error.start : error.end]!r}."
        ) from error


def _plan_undo(entry: Mapping[str, str], journal: Path, root: Path, force: bool) -> _Write:
    name = entry["path"]
    path = _inside(root, name)
    current = path.read_bytes()
    for kept in (entry["original"], entry["patched"]):
        if not re.fullmatch(r"\d+\.(original|patched)", kept) or (journal / kept).is_symlink():
            raise ValueError(f"{kept!r} is no name of a kept file")
    original = (journal / entry["original"]).read_bytes()
    patched = (journal / entry["patched"]).read_bytes()
    if current not in (original, patched) and not force:
        raise ApplyError(
            f"{name} was changed after the patch was applied.",
            "Repeat with --force to drop those changes too.",
        )
    return _Write(name, path, current, original)


def _inside(root: Path, name: str) -> Path:
    """The real path of a project file; refuses names that lead out of the project."""
    path = (root / PurePosixPath(name)).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ApplyError(f"{name} lies outside the project {root}.")
    if {".git", ".hg", ".svn", ".diffufix"} & set(path.relative_to(root.resolve()).parts):
        raise ApplyError(f"{name} is no source of the project {root}.")
    return path


def _save_originals(writes: list[_Write], root: Path, run_id: str) -> Path:
    """Write the undo record, durable before any project file is touched."""
    home = private_folder(root) / "undo"
    home.mkdir(parents=True, exist_ok=True)
    journal = next(path for path in _free_names(home, run_id) if not path.exists())
    building = Path(tempfile.mkdtemp(prefix=".new-", dir=home))
    try:
        files = []
        for index, write in enumerate(writes):
            names = {"original": f"{index}.original", "patched": f"{index}.patched"}
            _write_durably(building / names["original"], write.before)
            _write_durably(building / names["patched"], write.after)
            files.append({"path": write.name, **names})
        _write_durably(building / "manifest.json", json.dumps({"files": files}).encode())
        os.rename(building, journal)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return journal


def _untouched(writes: list[_Write]) -> bool:
    try:
        return all(write.path.read_bytes() == write.before for write in writes)
    except OSError:
        return False


def _free_names(home: Path, run_id: str) -> Iterator[Path]:
    yield home / run_id
    for number in range(2, 1_000_000):
        yield home / f"{run_id}-{number}"


def _journals(folder: Path) -> list[Path]:
    """Complete undo records, oldest first."""
    if not folder.is_dir():
        return []
    found = [entry for entry in folder.iterdir() if (entry / "manifest.json").is_file()]
    found = [entry for entry in found if not entry.name.startswith(".")]
    return sorted(found, key=lambda entry: (entry / "manifest.json").stat().st_mtime_ns)


def _replace_all(writes: list[_Write]) -> None:
    """Replace every file or none; temporary files never stay behind."""
    ready: list[tuple[_Write, Path]] = []
    done: list[_Write] = []
    try:
        for write in writes:
            ready.append((write, _temporary_beside(write.path, write.after)))
        for write, temporary in ready:
            if write.path.read_bytes() != write.before:
                raise ApplyError(f"{write.name} was changed at this very moment.", "Try again.")
            os.replace(temporary, write.path)
            done.append(write)
        for folder in {write.path.parent for write in writes}:
            _sync_folder(folder)
    except BaseException as error:
        for write in done:
            with contextlib.suppress(OSError):
                ready.append((write, _temporary_beside(write.path, write.before)))
                os.replace(ready[-1][1], write.path)
        if isinstance(error, OSError):
            name = error.filename or "a file of the patch"
            raise ApplyError(
                f"{name} cannot be written: {error.strerror}. Nothing was changed.",
                "Make the folder writable, or take the diff and apply it yourself.",
            ) from error
        raise
    finally:
        for _, temporary in ready:
            temporary.unlink(missing_ok=True)


def _temporary_beside(path: Path, data: bytes) -> Path:
    """A durable file in the same folder with the mode (and, where allowed, owner) of `path`."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".diffufix", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        status = path.stat()
        with contextlib.suppress(OSError):
            os.chown(temporary, status.st_uid, status.st_gid)
        os.chmod(temporary, status.st_mode & 0o7777)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _write_durably(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
