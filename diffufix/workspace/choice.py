"""Where code under test will run: `choose` decides once per run and says why.

Looks for a container engine and may have it build the project's image; runs the project's
interpreter once, to ask for pytest, only where it runs locally anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from diffufix.config import Settings
from diffufix.errors import DiffufixError, PrerequisiteError
from diffufix.sandbox.bubblewrap import bubblewrap_works
from diffufix.sandbox.local import LocalSandbox
from diffufix.sandbox.protocol import Sandbox

Tell = Callable[[str], None]
PYTHON = "python3"  # the first on an image's PATH: its environment's, else its own


@dataclass(frozen=True)
class Runtime:
    """`make` takes a scratch copy of the project, which the sandbox then owns.

    `python` is what runs the project there. `enclosed`: nothing of the project may run anywhere
    else, not even to find out which tests fail. `note` is to be told to the user once.
    """

    kind: str
    python: str
    make: Callable[..., Sandbox]  # (tree)
    enclosed: bool = False
    note: str = ""

    def with_home(self, files: Mapping[str, Path]) -> Runtime:
        """The same, with copies of these files (path in the home -> file) in the sandbox's home."""
        if self.enclosed or not files:
            return self
        return replace(self, make=partial(self.make, home=files))


def choose(settings: Settings, tell: Tell | None = None) -> Runtime:
    """The place that `settings.sandbox` names; for `auto` the best there is.

    `tell` hears of an image being built, line by line. Raises: PrerequisiteError, UsageError,
    ProjectError (the project's image cannot be planned).
    """
    tell = tell or (lambda line: None)
    if "," in settings.sandbox or "://" in settings.sandbox:
        return _several(settings, tell)
    if settings.sandbox == "docker":
        return _docker(settings, tell)
    if settings.sandbox == "e2b":
        return _e2b(settings, tell)
    if settings.sandbox == "local":
        return _local(settings)
    return _automatic(settings, tell)


def _automatic(settings: Settings, tell: Tell) -> Runtime:
    """Docker if it can be, else bubblewrap; never without a boundary unless told so."""
    from diffufix.sandbox.engine import find_engine

    note = ""
    if not settings.python and find_engine() is not None:
        try:
            return _docker(settings, tell)
        except DiffufixError as error:
            note = f"not in a container: {_first_line(error.message)}"
    if not bubblewrap_works():
        raise PrerequisiteError(
            "There is no sandbox here: "
            + (note or "no container engine answers")
            + ", and bubblewrap does not work.",
            "Start Docker or Podman, or install bubblewrap; --sandbox local runs the tests "
            "without any isolation.",
        )
    return _local(settings, note)


def _local(settings: Settings, note: str = "") -> Runtime:
    from diffufix.testing.interpreter import enclosing, find_interpreter

    python = str(find_interpreter(settings.root, settings.python or None, settings.folder))
    if not note and not bubblewrap_works():
        note = (
            "no security boundary: model-written code runs with your rights; "
            "install bubblewrap, or use --sandbox docker"
        )
    before = enclosing(Path(python), settings.root)
    return Runtime(
        "local",
        python,
        partial(LocalSandbox, python=python, before=before),
        enclosed=bubblewrap_works() and not settings.trust,
        note=note,
    )


def _several(settings: Settings, tell: Tell) -> Runtime:
    """Container engines and E2B together; those that cannot be had are left out, and named."""
    from diffufix.sandbox.several import Backend, Several

    found: list[Backend] = []
    problems: list[DiffufixError] = []
    for name in settings.sandbox.split(","):
        try:
            place = _e2b(settings, tell) if name == "e2b" else _docker(settings, tell, name)
            found.append(Backend(name, place.make))
        except PrerequisiteError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    note = "; ".join(f"left out: {_first_line(error.message)}" for error in problems)
    python = settings.python or PYTHON
    return Runtime("docker", python, Several(found), enclosed=True, note=note)


def _docker(settings: Settings, tell: Tell, name: str = "docker") -> Runtime:
    """On the engine of this machine, or on that of an address."""
    from docker.errors import DockerException

    from diffufix.sandbox.docker import DockerSandbox
    from diffufix.sandbox.engine import connect
    from diffufix.sandbox.reap import reap_containers
    from diffufix.workspace.images import image_for

    host = "" if name == "docker" else name
    runtime = settings.runtime or None
    with contextlib.closing(connect(host)) as client:
        image = image_for(settings.root, settings=settings, listener=tell, engine=client)
        with contextlib.suppress(DockerException):
            reap_containers(client)  # of runs that were killed
    return Runtime(
        "docker",
        settings.python or PYTHON,
        lambda tree: DockerSandbox(tree, image=image, runtime=runtime, host=host),
        enclosed=True,
    )


def _e2b(settings: Settings, tell: Tell) -> Runtime:
    from diffufix.sandbox.e2b import E2BSandbox
    from diffufix.workspace.images.template import template_for

    template = template_for(settings.root, settings=settings, listener=tell)
    return Runtime(
        "e2b",
        settings.python or PYTHON,
        lambda tree: E2BSandbox(tree, template=template),
        enclosed=True,
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else "it failed"
