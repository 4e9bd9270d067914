"""A plan as a Dockerfile, as a build context and as a tag. Touches nothing.

Layers go from what changes seldom to what changes often; the files that decide a layer are copied
right before it, and the project's own code never: it comes into the sandbox at run time.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import shlex
import tarfile
from collections.abc import Mapping

from diffufix.workspace.images.types import USER, VENV, WORKDIR, ImagePlan

REPOSITORY = "diffufix-env"
#: Taken from the caller's environment when an image is built; the image's history shows them.
BUILD_ARGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX")
_VARIABLES = (
    *(f"VIRTUAL_ENV={VENV}", f"UV_PROJECT_ENVIRONMENT={VENV}"),
    f"PATH={VENV}/bin:/opt/tools/bin:$PATH",
    *("PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_CACHE_DIR=1", "PIP_ROOT_USER_ACTION=ignore"),
    *("UV_COMPILE_BYTECODE=1", "UV_NO_CACHE=1", "UV_PYTHON_DOWNLOADS=never"),
)


def render(plan: ImagePlan, *, base: str = "", e2b: bool = False) -> str:
    """The Dockerfile of `plan`; `base` replaces its base image (a foundation that was built).

    For an E2B template the lines are left out that its parser turns into something else: the
    user (E2B has its own) and build arguments (they would become variables of the sandbox).
    """
    lines = [f"# Made by diffufix from {plan.source}.", f"FROM {base or plan.base}"]
    if not e2b:
        lines += [f"ARG {name}" for name in BUILD_ARGS]
    lines += ["USER root", " \\\n    ".join(["ENV", *_VARIABLES])]
    lines += [f"WORKDIR {WORKDIR}", "", "# the environment", f"RUN {_make_venv(plan)}"]
    for step in plan.steps:
        lines += ["", f"# {step.why}", *_copies(step.files), f"RUN {step.run}"]
    if not e2b:
        lines += ["", f"USER {USER}"]
    return "\n".join(lines) + "\n"


def _make_venv(plan: ImagePlan) -> str:
    if not plan.system_packages:
        return f"python3 -m venv {VENV}"
    # What the named base already has counts; some bases have no ensurepip.
    make = f"python3 -m venv --system-site-packages --clear {VENV}"
    return f"{make} >/dev/null 2>&1 || {make} --without-pip"


def _copies(files: tuple[str, ...]) -> list[str]:
    """One COPY per folder; paths with a blank in them take the JSON form."""
    folders: dict[str, list[str]] = {}
    for path in files:
        folders.setdefault(posixpath.dirname(path), []).append(path)
    lines = []
    for folder, paths in folders.items():
        words = [*paths, f"./{folder}/" if folder else "./"]
        plain = all(shlex.quote(word) == word for word in words)
        lines.append("COPY " + (" ".join(words) if plain else json.dumps(words)))
    return lines


def install(requirements: list[str], tool: str = "python -m pip install") -> str:
    """The command that installs `requirements`, one a line."""
    return " \\\n    ".join([tool, *(shlex.quote(line) for line in requirements)])


def tag_of(text: str, files: Mapping[str, bytes]) -> str:
    """The image's name and tag: the hash of everything that goes into it."""
    digest = hashlib.sha256(text.encode())
    for path in sorted(files):
        content = hashlib.sha256(files[path]).hexdigest()
        digest.update(f"\0{path}\0{content}".encode())
    return f"{REPOSITORY}:{digest.hexdigest()[:16]}"


def context_of(text: str, files: Mapping[str, bytes]) -> bytes:
    """The build context as a tar archive, the same bytes for the same content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in sorted({**files, "Dockerfile": text.encode()}.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
