"""The project's environment as an E2B template: built in E2B's cloud from the same Dockerfile.

Talks to E2B's service, which keeps the templates; writes a temporary folder while it does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffufix.config import Settings
from diffufix.errors import PrerequisiteError
from diffufix.sandbox.e2b import refused
from diffufix.workspace.images.dockerfile import render, tag_of
from diffufix.workspace.images.plan import plan
from diffufix.workspace.images.types import ImagePlan

CPUS, MEMORY = 2, 2048  # of a machine; memory in MiB


def template_for(
    root: Path, *, settings: Settings, listener: Callable[[str], None] | None = None, **options: Any
) -> str:
    """The template that the tests of the project in `root` run in, built now if need be.

    `image` in the settings names a finished one. `options` go to the SDK. Raises:
    PrerequisiteError (no key, a plan that is no template, a build that fails).
    """
    if settings.image:
        return settings.image
    return build_template(plan(root, settings), listener=listener, **options)


def template_name(wanted: ImagePlan) -> str:
    """The name under which `build_template` builds: it changes with whatever decides."""
    return tag_of(dockerfile(wanted), wanted.files).replace(":", "-")


def dockerfile(wanted: ImagePlan) -> str:
    """What E2B's template build reads. Raises PrerequisiteError for a Dockerfile of one's own."""
    if wanted.foundation is not None:
        raise PrerequisiteError(
            f"{wanted.foundation.dockerfile} is no E2B template by itself.",
            "Build one with E2B's tools and name it with --image.",
        )
    return render(wanted, e2b=True)


def write_context(wanted: ImagePlan, folder: Path) -> None:
    """Write the template's `e2b.Dockerfile` and the files that it copies."""
    for name, data in {**wanted.files, "e2b.Dockerfile": dockerfile(wanted).encode()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def build_template(
    wanted: ImagePlan, *, listener: Callable[[str], None] | None = None, **options: Any
) -> str:
    """Build the template of `wanted` unless it is there; its name. Raises PrerequisiteError."""
    from e2b import Template

    if wanted.ready:
        return wanted.base
    name, text = template_name(wanted), dockerfile(wanted)
    tell = listener or (lambda line: None)
    folder = Path(tempfile.mkdtemp(prefix="dfx-"))
    try:
        if Template.exists(name, **options):
            tell(f"{name} is there already")
            return name
        write_context(wanted, folder)
        template = Template(file_context_path=folder).from_dockerfile(text)
        Template.build(
            template, name, cpu_count=CPUS, memory_mb=MEMORY,
            on_build_logs=lambda entry: tell(str(entry.message)), **options,
        )  # fmt: skip
    except Exception as error:
        raise refused(error, name) or PrerequisiteError(
            f"The E2B template cannot be built: {error}",
            "`diffufix env show --e2b` shows what it is made of; --image names a finished one.",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return name
