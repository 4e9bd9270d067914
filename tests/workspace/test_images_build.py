"""Images really built by the engine on an imported base, without a network; and what goes wrong."""

from __future__ import annotations

import ensurepip
import io
import json
import subprocess
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diffufix.config import Settings
from diffufix.errors import PrerequisiteError
from diffufix.sandbox.engine import connect
from diffufix.workspace.images import build, image_for, image_name, plan
from diffufix.workspace.images.build import LABEL, BuildFailed, explain, progress, remove_images
from diffufix.workspace.images.dockerfile import context_of

# docker-py leaves the connection of a refused request to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    client = connect()
    yield client
    client.close()


@pytest.fixture(scope="module")
def made(engine: Any) -> Iterator[list[str]]:
    """Images to be removed at the end."""
    names: list[str] = []
    yield names
    for name in names:
        engine.images.remove(name, force=True)


@pytest.fixture(scope="module")
def base_with_pip(engine: Any, made: list[str], test_image: str) -> str:
    """The base and pip, from the wheel that this interpreter carries."""
    wheel = next((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"), None)
    if wheel is None:
        pytest.skip("this interpreter carries no pip")
    unpack = "python3 -m zipfile -e /pip.whl /usr/lib/python3/dist-packages"
    text = f"FROM {test_image}\nCOPY pip.whl /\nRUN {unpack}\n"
    name = "diffufix-test-pip:1"
    context = io.BytesIO(context_of(text, {"pip.whl": wheel.read_bytes()}))
    for event in engine.api.build(
        fileobj=context, custom_context=True, tag=name, decode=True, network_mode="none", rm=True
    ):
        assert "error" not in event, event
    made.append(name)
    return name


def settings(root: Path, **values: str) -> Settings:
    return Settings(root=root, **values)  # type: ignore[arg-type]


def write_wheel(folder: Path, version: str) -> None:
    folder.mkdir(exist_ok=True)
    info = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny.py", f"VALUE = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def inside(image: str, code: str) -> str:
    command = ["docker", "run", "--rm", "--network", "none", image, "python", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.docker
def test_a_project_without_dependencies_needs_no_network(
    tmp_path: Path, engine: Any, test_image: str
) -> None:
    unique = f"p{uuid.uuid4().hex[:8]}"
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "{unique}"\nversion = "3.1"\n'
        f'[project.entry-points.pytest11]\n{unique} = "{unique}_plugin"\n'
    )
    lines: list[str] = []
    name = image_for(
        tmp_path, settings=settings(tmp_path, base_image=test_image), listener=lines.append
    )
    assert any("Step 1/" in line for line in lines)
    code = (
        "import sys, os, pytest\nfrom importlib.metadata import version, entry_points\n"
        f"print(sys.prefix, os.getuid(), version({unique!r}), "
        "[e.name for e in entry_points(group='pytest11') if e.name[0] == 'p'])"
    )
    assert inside(name, code) == f"/opt/venv 65534 3.1 ['{unique}']"
    again: list[str] = []
    found = plan(tmp_path, settings(tmp_path, base_image=test_image))
    assert build(found, listener=again.append, engine=engine) == name == image_name(found)
    assert again == [f"{name} is there already"]
    assert remove_images(engine, f"{LABEL}={name}") == 1
    assert not engine.images.list(name)
    assert remove_images(engine, f"{LABEL}={name}") == 0


@pytest.mark.docker
def test_requirements_from_local_wheels_and_layers_that_cache(
    tmp_path: Path, base_with_pip: str, made: list[str]
) -> None:
    write_wheel(tmp_path / "wheels", "1.0")
    write_wheel(tmp_path / "wheels", "2.0")
    (tmp_path / "requirements.txt").write_text("--no-index\n--find-links wheels\ntiny==1.0\n")
    wanted = settings(tmp_path, base_image=base_with_pip)
    first = image_for(tmp_path, settings=wanted)
    made.append(first)
    assert inside(first, "import tiny; print(tiny.VALUE)") == "1.0"
    (tmp_path / "requirements.txt").write_text("--no-index\n--find-links wheels\ntiny==2.0\n")
    lines: list[str] = []
    second = image_for(tmp_path, settings=wanted, listener=lines.append)
    made.append(second)
    assert second != first
    assert inside(second, "import tiny; print(tiny.VALUE)") == "2.0"
    made_venv = next(i for i, line in enumerate(lines) if "RUN python3 -m venv" in line)
    assert "Using cache" in lines[made_venv + 1]


@pytest.mark.docker
def test_a_dockerfile_of_the_projects_own(tmp_path: Path, made: list[str], test_image: str) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "Dockerfile").write_text(f"FROM {test_image}\nCOPY data.txt /data.txt\n")
    (tmp_path / "data.txt").write_text(uuid.uuid4().hex)
    (tmp_path / ".dockerignore").write_text("notes.txt\n")
    wanted = settings(tmp_path, dockerfile="ci/Dockerfile")
    name = image_for(tmp_path, settings=wanted)
    made.append(name)
    code = "print(open('/data.txt').read())"
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", name, "python3", "-c", code],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == (tmp_path / "data.txt").read_text()
    (tmp_path / "notes.txt").write_text("ignored")
    assert image_for(tmp_path, settings=wanted) == name


@pytest.mark.docker
def test_a_devcontainers_dockerfile_is_built_first(
    tmp_path: Path, engine: Any, made: list[str], test_image: str
) -> None:
    (tmp_path / ".devcontainer").mkdir()
    mark = uuid.uuid4().hex
    (tmp_path / ".devcontainer" / "Dockerfile").write_text(
        f"ARG NAME\nFROM $NAME AS one\nENV MARK={mark}\nFROM one AS two\nENV MARK=wrong\n"
    )
    (tmp_path / ".devcontainer" / "devcontainer.json").write_text(
        json.dumps(
            {"build": {"dockerfile": "Dockerfile", "target": "one", "args": {"NAME": test_image}}}
        )
    )
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "over"\nversion = "1"\n')
    lines: list[str] = []
    name = image_for(tmp_path, settings=settings(tmp_path), listener=lines.append)
    made.append(name)
    base = next(line.split()[-1] for line in lines if "tagged diffufix-env:base-" in line)
    made.append(base)
    code = "import os, sys; print(os.environ['MARK'], sys.prefix)"
    assert inside(name, code) == f"{mark} /opt/venv"


@pytest.mark.docker
def test_a_base_that_cannot_be_fetched(tmp_path: Path, engine: Any) -> None:
    wanted = settings(tmp_path, base_image="registry.invalid/none:1")
    (tmp_path / "requirements.txt").write_text("attrs\n")
    with pytest.raises(PrerequisiteError, match=r"registry\.invalid/none:1 cannot be fetched") as e:
        image_for(tmp_path, settings=wanted)
    assert "--base-image" in e.value.hint
    with pytest.raises(PrerequisiteError, match="no image registry") as e:
        image_for(tmp_path, settings=settings(tmp_path, image="registry.invalid/none:1"))
    assert "docker load" in e.value.hint


@pytest.mark.docker
def test_a_step_without_network(tmp_path: Path, base_with_pip: str) -> None:
    (tmp_path / "requirements.txt").write_text("--index-url http://127.0.0.1:9/simple\nattrs==99\n")
    with pytest.raises(PrerequisiteError, match="cannot be built") as error:
        image_for(tmp_path, settings=settings(tmp_path, base_image=base_with_pip))
    assert "network" in error.value.hint
    assert "attrs" in error.value.message


@pytest.mark.docker
def test_a_base_without_pip(tmp_path: Path, test_image: str) -> None:
    (tmp_path / "requirements.txt").write_text("attrs\n")
    with pytest.raises(PrerequisiteError) as error:
        image_for(tmp_path, settings=settings(tmp_path, base_image=test_image))
    assert "no pip" in error.value.hint


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(PrerequisiteError, match="engine") as error:
        image_for(tmp_path, settings=settings(tmp_path))
    assert "--sandbox local" in error.value.hint


def test_progress_is_told_by_lines() -> None:
    events = [
        {"stream": "Step 1/2 : FROM a\n"},
        {"status": "Downloading", "id": "c0ffee", "progress": "1"},
        {"status": "Downloading", "id": "c0ffee", "progress": "2"},
        {"status": "Pull complete", "id": "c0ffee"},
        {"stream": "\n"},
        {"error": "it broke"},
    ]
    stream = progress(events)
    lines = [next(stream) for _ in range(3)]
    with pytest.raises(BuildFailed, match="it broke"):
        next(stream)
    assert lines == ["Step 1/2 : FROM a", "c0ffee Downloading", "c0ffee Pull complete"]


@pytest.mark.parametrize(
    ("message", "tail", "word"),
    [
        ("pull access denied for x", ["Step 1/9 : FROM x"], "docker import"),
        ("lookup registry: no such host", ["Step 1/9 : FROM x"], "--base-image"),
        (
            "returned a non-zero code: 1",
            ["Step 2/9", "Temporary failure in name resolution"],
            "PIP_INDEX_URL",
        ),
        ("returned a non-zero code: 1", ["Step 2/9", "error: command 'gcc' failed"], "compiler"),
        (
            "returned a non-zero code: 1",
            ["Step 2/9", "ModuleNotFoundError: No module named 'pytest'"],
            "no pytest",
        ),
        ("returned a non-zero code: 127", ["Step 2/9", "/bin/sh: 1: pip: not found"], "no pip"),
        ("returned a non-zero code: 1", ["Step 2/9", "something else"], "dockerfile"),
    ],
)
def test_what_to_do_about_it(message: str, tail: list[str], word: str) -> None:
    assert word in explain(message, tail, "x").hint


def test_the_context_is_the_same_for_the_same_content() -> None:
    one = context_of("FROM a\n", {"b/c": b"1", "a": b"2"})
    assert one == context_of("FROM a\n", {"a": b"2", "b/c": b"1"})
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        assert archive.getnames() == ["Dockerfile", "a", "b/c"]
