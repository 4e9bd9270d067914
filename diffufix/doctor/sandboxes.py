"""Sandboxes, each really started, with a command run in it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from diffufix.config import Settings
from diffufix.doctor.check import Health, HealthCheck
from diffufix.sandbox.protocol import Sandbox
from diffufix.sandbox.reap import scratch_prefix

_WORD = "diffufix"
#: The `--sandbox` that stands for each.
_CHOICES = {"bubblewrap": "local", "container": "docker", "e2b": "e2b"}


def bubblewrap(settings: Settings) -> HealthCheck:
    """bubblewrap, as `--sandbox local` uses it."""
    from diffufix.sandbox import bubblewrap as kept
    from diffufix.sandbox.local import LocalSandbox

    if sys.platform != "linux":
        return HealthCheck("bubblewrap", Health.SKIPPED, "only on Linux", "Use a container engine.")
    if not os.path.isabs(kept.bubblewrap()):
        return HealthCheck(
            "bubblewrap", Health.WARNING, "not installed",
            "Install it (Debian: apt-get install bubblewrap; Fedora: dnf install bubblewrap), or "
            "use a container engine.",
        )  # fmt: skip
    if not kept.bubblewrap_works():
        return HealthCheck(
            "bubblewrap", Health.WARNING, "installed, but not allowed to make namespaces",
            "Allow it: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or in a container "
            "--security-opt seccomp=unconfined.",
        )  # fmt: skip
    return _started("bubblewrap", lambda tree: LocalSandbox(tree, python=sys.executable),
                    sys.executable)  # fmt: skip


def container(settings: Settings) -> HealthCheck:
    """A container of the project's image; only started where the image is built already."""
    from diffufix.sandbox.docker import DockerSandbox
    from diffufix.sandbox.engine import connect, find_engine

    if find_engine() is None:
        return HealthCheck(
            "container", Health.SKIPPED, "no engine answers",
            "Start Docker or Podman, or set DOCKER_HOST, if tests are to run in containers.",
        )  # fmt: skip
    name = built_image(settings)
    if not name:
        with contextlib.closing(connect()) as client:
            version = client.version().get("Version", "")
        return HealthCheck(
            "container", Health.WARNING, f"the engine answers ({version}); the project's image is "
            "not built", "`diffufix env build` builds it and runs the tests in it.",
        )  # fmt: skip
    return _started("container", lambda tree: DockerSandbox(tree, image=name), "python3")


def built_image(settings: Settings) -> str:
    """The image that the project's tests run in, where the engine has it; "" where not."""
    from diffufix.sandbox.engine import connect, find_engine
    from diffufix.workspace.images import image_name, plan

    if find_engine() is None:
        return ""
    name = image_name(plan(settings.root, settings))
    with contextlib.closing(connect()) as client:
        return name if client.images.list(name=name) else ""


def e2b(settings: Settings) -> HealthCheck:
    """An E2B machine; nothing is started without a key."""
    if not os.environ.get("E2B_API_KEY"):
        return HealthCheck("e2b", Health.SKIPPED, "no E2B_API_KEY", "Only for --sandbox e2b.")
    from diffufix.sandbox.e2b import E2BSandbox
    from diffufix.workspace.images import plan, template

    name = template.template_name(plan(settings.root, settings))
    return _started("e2b", lambda tree: E2BSandbox(tree, template=name), "python3")


def chosen(found: list[HealthCheck], settings: Settings) -> HealthCheck:
    """Whether there is any boundary around the code that a model writes."""
    wanted = settings.sandbox
    if "," in wanted or "://" in wanted:
        return HealthCheck("isolation", Health.OK, f"--sandbox {wanted} is set; not tried here")
    works = [check.name for check in found if check.state is Health.OK]
    unasked = wanted == "auto"  # takes no machine elsewhere
    used = [name for name in works if (name != "e2b" if unasked else _CHOICES[name] == wanted)]
    if used:
        told = "" if unasked else f"; --sandbox {wanted} is set"
        return HealthCheck("isolation", Health.OK, f"{' and '.join(used)} can be used{told}")
    remedy = "Install bubblewrap, or build the project's image: `diffufix env build`."
    if works:
        remedy = f"{works[0]} can be used with --sandbox {_CHOICES[works[0]]}."
    if settings.sandbox == "local":
        return HealthCheck(
            "isolation", Health.WARNING, "none: candidates run with your rights", remedy
        )
    engine = next((check for check in found if check.name == "container"), None)
    if wanted == "docker" and engine is not None and engine.state is Health.WARNING:
        return replace(engine, name="isolation")  # a repair builds the image
    none = "there is no sandbox here" + ("" if unasked else f" for --sandbox {wanted}")
    return HealthCheck("isolation", Health.ERROR, none, remedy)


def _started(name: str, make: object, python: str) -> HealthCheck:
    assert callable(make)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        (tree / "word.txt").write_text(_WORD)
        sandbox: Sandbox = make(tree)
        try:
            sandbox.start()
            done = sandbox.exec([python, "-c", "print(open('word.txt').read())"], timeout=60)
            ready = time.monotonic() - began
        finally:
            sandbox.close()
    if done.returncode != 0 or done.stdout.strip() != _WORD.encode():
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return HealthCheck(
            name, Health.ERROR, f"started, but runs nothing: {told[-1] if told else ''}"
        )
    what = sandbox.capabilities
    net = "no network" if what.no_network else "with network"
    found = f"started, ran a command in {ready:.2f} s, {net}" + (
        "" if what.boundary else ", NO boundary"
    )
    state = Health.OK if what.boundary else Health.WARNING
    return HealthCheck(name, state, found, data={"start_seconds": round(ready, 3)})
