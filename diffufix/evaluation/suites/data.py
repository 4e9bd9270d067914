"""Where a suite's data lies: the user's copy, what was fetched before, or the publisher's address.

Nothing is fetched unasked, and nothing is shipped. A file is known by the SHA-256 of its text, as
it is without compression; a repository by its commit. Touches the folder of downloads.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffufix.errors import PrerequisiteError, UsageError
from diffufix.evaluation.environments import default_folder

WAIT = 60.0  # seconds for an answer


@dataclass(frozen=True)
class Publication:
    """Where data is published. `sha256` is empty where nobody here has seen the publisher's file;
    `commit` is that of a repository, whose `url` ends in .git. `licence` is told before a
    download."""

    url: str
    file: str  # what it is called in the folder of downloads
    licence: str
    sha256: str = ""
    commit: str = ""

    @property
    def is_repository(self) -> bool:
        return bool(self.commit)


@dataclass(frozen=True)
class SuiteData:
    """Data on disk. `version` is its hash or commit; `note` is to be told."""

    path: Path
    version: str
    note: str = ""


def find(
    title: str,
    publication: Publication | None,
    given: Path | None,
    *,
    agreed: Callable[[str], bool],
    any_version: bool = False,
) -> SuiteData:
    """The data of a suite. `agreed` is asked before anything is fetched.

    Raises UsageError (no such file, another version), PrerequisiteError (it cannot be fetched).
    """
    if given is not None:
        path = given.expanduser()
        if not path.exists():
            raise UsageError(f"There is no {path}.", _where(title, publication))
        return _checked(title, path, publication, any_version)
    if publication is None:
        raise UsageError(f"{title} needs data.", "Name it with --data.")
    kept = default_folder() / "suites" / publication.file
    if not kept.exists():
        offer = f"{title} is at {publication.url}, under {publication.licence}."
        if not agreed(offer):
            raise PrerequisiteError(f"The data of {title} is not here.", _where(title, publication))
        kept.parent.mkdir(parents=True, exist_ok=True)
        if publication.is_repository:
            hint = "Clone it on a machine with a network, and name the folder with --data."
            clone(publication.url, kept, hint, publication.commit)
        else:
            _download(publication, kept)
    return _checked(title, kept, publication, any_version)


def version_of(path: Path) -> str:
    """The hash of a file's text, the commit of a checkout, or the hash of a folder's index."""
    if path.is_dir():
        index = path / "bugs.jsonl"
        return _commit(path) or (version_of(index) if index.is_file() else "")
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise UsageError(f"{path} is damaged: {error}.", "Fetch it again.") from error
    return hashlib.sha256(data).hexdigest()


def _checked(
    title: str, path: Path, publication: Publication | None, any_version: bool
) -> SuiteData:
    version = version_of(path)
    known = (publication.commit or publication.sha256) if publication else ""
    if not known or version == known:
        return SuiteData(path, version)
    said = f"{path} is not the known version of {title}: {version or 'no commit'}, not {known}"
    if not any_version and not (path.is_dir() and not version):
        raise UsageError(
            f"{said}.",
            "Fetch the publisher's file, or take this one with --any-version; results then say so.",
        )
    return SuiteData(path, version, said)


def _where(title: str, publication: Publication | None) -> str:
    if publication is None:
        return "Name the file or folder with --data."
    place = f"{publication.url} ({publication.licence})"
    return f"Fetch {place} and name it with --data, or let --yes fetch it."


def _download(publication: Publication, kept: Path) -> None:
    partly = kept.with_name(kept.name + ".part")
    try:
        with (
            urllib.request.urlopen(publication.url, timeout=WAIT) as answer,
            partly.open("wb") as out,
        ):
            shutil.copyfileobj(answer, out)
    except (OSError, ValueError) as error:
        partly.unlink(missing_ok=True)
        raise PrerequisiteError(
            f"{publication.url} cannot be fetched: {error}.",
            "Fetch it on a machine with a network, and name the file with --data.",
        ) from error
    partly.replace(kept)


def clone(url: str, kept: Path, hint: str, commit: str = "") -> None:
    """The repository at `kept`: a checkout of `commit`, bare without one. What is cut off leaves
    nothing there. Raises PrerequisiteError with the hint."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as name:
        place = Path(name) / "clone"
        steps = [["git", "clone", "-q", *([] if commit else ["--bare"]), "--", url, str(place)]]
        if commit:
            steps.append(["git", "-C", str(place), "checkout", "-q", "--detach", commit])
        for step in steps:
            ran = subprocess.run(step, capture_output=True, check=False)
            if ran.returncode:
                said = ran.stderr.decode(errors="replace").strip()[-300:]
                raise PrerequisiteError(f"{url} cannot be cloned: {said}", hint)
        place.rename(kept)


def _commit(folder: Path) -> str:
    """The commit that a checkout is at; empty where the folder itself is none."""
    if not (folder / ".git").exists():
        return ""
    ran = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return ran.stdout.strip() if ran.returncode == 0 else ""
