"""Build a project's image on the container engine, unless it is there: `build`, `image_for`.

Talks to the engine, which keeps the images; writes nothing on this machine itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from diffufix.config import Settings
from diffufix.errors import PrerequisiteError
from diffufix.sandbox.engine import connect
from diffufix.source.plain import within
from diffufix.workspace.images.dockerfile import BUILD_ARGS, REPOSITORY, context_of, render, tag_of
from diffufix.workspace.images.plan import plan
from diffufix.workspace.images.types import Foundation, ImagePlan

LABEL = "diffufix.environment"
Listener = Callable[[str], None]
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_TAIL = 20  # lines of a failed build in its error
_NO_NETWORK = (
    *("temporary failure in name resolution", "connection refused", "network is unreachable"),
    *("no such host", "i/o timeout", "failed to establish a new connection", "dns error"),
    *("client.timeout exceeded", "connection timed out", "failed to fetch"),
)
_NO_IMAGE = ("pull access denied", "manifest unknown", "manifest for", "not found: manifest")
_NO_COMPILER = ("gcc' failed", "command 'gcc'", "unable to execute", "no c compiler", "cmake not")


def image_for(
    root: Path, *, settings: Settings, listener: Listener | None = None, engine: Any = None
) -> str:
    """The image that the tests of the project in `root` run in, built now if need be; `engine` is a
    docker-py client.

    Raises: PrerequisiteError (no engine, no network, a step that fails), UsageError, ProjectError.
    """
    return build(plan(root, settings), listener=listener, engine=engine)


def build(
    wanted: ImagePlan, *, listener: Listener | None = None, force: bool = False, engine: Any = None
) -> str:
    """Build the image of `wanted` and return its name; nothing is built that is there.

    `listener` is told the engine's progress line by line; `force` builds without any cache;
    `engine` is a docker-py client. Raises: PrerequisiteError.
    """
    if engine is None:
        with contextlib.closing(connect()) as engine:
            return build(wanted, listener=listener, force=force, engine=engine)
    tell = listener or (lambda line: None)
    if wanted.ready:
        return _present(engine, wanted.base, tell)
    base = ""
    if wanted.foundation is not None:
        base = _foundation(engine, wanted.root, wanted.foundation, tell, force)
        if not wanted.steps:
            return base
    text = render(wanted, base=base)
    tag = tag_of(text, wanted.files)
    if not force and _exists(engine, tag):
        tell(f"{tag} is there already")
        return tag
    _run(
        engine, tag, tell, wanted.base or base,
        fileobj=context_of(text, wanted.files), custom_context=True, nocache=force,
        buildargs=_environment(_PROXIES + BUILD_ARGS),
        network_mode=None if wanted.downloads else "none",
    )  # fmt: skip
    return tag


def image_name(wanted: ImagePlan) -> str:
    """The name that `build` would return, without an engine; only reads the project."""
    if wanted.ready:
        return wanted.base
    base = foundation_tag(wanted.root, wanted.foundation) if wanted.foundation else ""
    return tag_of(render(wanted, base=base), wanted.files) if wanted.steps else base


def foundation_tag(root: Path, foundation: Foundation) -> str:
    """The name of a foundation's image: the hash of its build context, of what it ignores none."""
    from docker.utils.build import exclude_paths

    context = (root / foundation.context).resolve()
    dockerfile = (root / foundation.dockerfile).resolve()
    if not (within(root, context) and within(root, dockerfile)):
        raise PrerequisiteError(f"{dockerfile} lies outside of the project.", "Correct its name.")
    if not dockerfile.is_file():
        raise PrerequisiteError(f"There is no {dockerfile}.", "Correct what names it.")
    try:
        ignored = (context / ".dockerignore").read_text(encoding="utf-8").splitlines()
    except OSError:
        ignored = []
    patterns = [line.strip() for line in ignored if line.strip() and not line.startswith("#")]
    digest = hashlib.sha256(dockerfile.read_bytes())
    digest.update(repr((sorted(foundation.args.items()), foundation.target)).encode())
    for name in sorted(exclude_paths(str(context), [*patterns, ".git", ".diffufix"])):
        path = context / name
        if path.is_file() and os.access(path, os.R_OK) and within(context, path):
            digest.update(f"\0{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return f"{REPOSITORY}:base-{digest.hexdigest()[:16]}"


def _foundation(
    engine: Any, root: Path, foundation: Foundation, tell: Listener, force: bool
) -> str:
    tag = foundation_tag(root, foundation)
    if not force and _exists(engine, tag):
        tell(f"{tag} is there already")
        return tag
    _run(
        engine, tag, tell, foundation.dockerfile,
        path=str((root / foundation.context).resolve()),
        dockerfile=str((root / foundation.dockerfile).resolve()),
        target=foundation.target or None, nocache=force,
        buildargs={**_environment(_PROXIES), **foundation.args},
    )  # fmt: skip
    return tag


def _run(engine: Any, tag: str, tell: Listener, base: str, **options: Any) -> None:
    """One build; raises PrerequisiteError with the last lines of its log."""
    from docker.errors import DockerException

    if isinstance(options.get("fileobj"), bytes):
        options["fileobj"] = io.BytesIO(options["fileobj"])
    tail: deque[str] = deque(maxlen=_TAIL)
    try:
        events = engine.api.build(
            tag=tag, labels={LABEL: tag}, rm=True, forcerm=True, decode=True, **options
        )
        for line in progress(events):
            tail.append(line)
            tell(line)
    except BuildFailed as error:
        raise explain(str(error), list(tail), base) from error
    except (DockerException, OSError) as error:
        raise explain(str(error), list(tail), base) from error


class BuildFailed(Exception):
    """The engine's own word for what failed."""


def progress(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of an engine's stream of events. Raises BuildFailed at an error."""
    seen: dict[str, str] = {}
    stream = iter(events)
    for event in stream:
        if "error" in event:
            for _ in stream:  # to the end, so that the connection is given back
                pass
            raise BuildFailed(str(event["error"]).strip())
        for line in str(event.get("stream", "")).splitlines():
            if line.strip():
                yield line.rstrip()
        status, layer = str(event.get("status", "")), str(event.get("id", ""))
        if status and seen.get(layer) != status:  # a download repeats itself for every megabyte
            seen[layer] = status
            yield f"{layer} {status}".strip()


def explain(message: str, tail: list[str], base: str) -> PrerequisiteError:
    """What failed in a build, and what to do about it."""
    text = "\n".join([*tail, message]).lower()
    shown = "\n".join([*tail, message])
    started = "returned a non-zero code" in message  # of a command in the image
    if any(sign in message.lower() for sign in _NO_IMAGE) or (
        not started and any(sign in text for sign in _NO_NETWORK)
    ):
        return PrerequisiteError(
            f"The base image {base} cannot be fetched: {message}",
            "Name one that the engine has (`docker images`) with --base-image, or a finished "
            "one with --image. An engine without a registry takes one by `docker load` or "
            "`docker import`.",
        )
    if any(sign in text for sign in _NO_NETWORK):
        hint = (
            "A step has no network. Give the engine one, or set PIP_INDEX_URL to an index that it "
            "reaches, or name a finished image with --image."
        )
    elif any(sign in text for sign in _NO_COMPILER):
        hint = (
            "A dependency is compiled here: name a base with a compiler, such as "
            "`--base-image python:3.12`, or a Dockerfile as `dockerfile` in [tool.diffufix]."
        )
    elif "no module named 'pytest'" in text or "no module named pytest" in text:
        hint = "The base image has no pytest: install it there, or add it to the project's tests."
    elif "pip: not found" in text or "no module named pip" in text:
        hint = "The base image has no pip: take another with --base-image, or --image."
    else:
        hint = "See the log above. A Dockerfile of your own is named by `dockerfile` or --image."
    return PrerequisiteError(f"The image cannot be built.\n{shown}", hint)


def remove_images(engine: Any, label: str = LABEL) -> int:
    """Remove the images built for any project that no container uses; how many names went.

    What is needed again is built again. Raises docker's exceptions where the engine fails.
    """
    from docker.errors import APIError

    removed = 0
    for image in engine.images.list(filters={"label": label}):
        for name in image.tags:
            with contextlib.suppress(APIError):  # in use
                engine.images.remove(name)
                removed += 1
    return removed


def _present(engine: Any, name: str, tell: Listener) -> str:
    """The named image, fetched if the engine has not got it."""
    from docker.errors import DockerException

    if _exists(engine, name):
        return name
    repository, _, tag = (
        name.rpartition(":") if ":" in name.split("/")[-1] else (name, "", "latest")
    )
    try:
        for line in progress(engine.api.pull(repository, tag=tag, stream=True, decode=True)):
            tell(line)
    except (BuildFailed, DockerException, OSError) as error:
        raise PrerequisiteError(
            f"The engine has no image {name} and cannot fetch it: {error}",
            "`docker images` lists what it has; `docker load` and `docker import` add to that.",
        ) from error
    return name


def _exists(engine: Any, name: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        engine.images.get(name)
    except ImageNotFound:
        return False
    return True


def _environment(names: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}
