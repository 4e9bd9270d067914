"""Plans of real project files in every flavour: what decides, golden Dockerfiles.

`DIFFUFIX_UPDATE_SNAPSHOTS=1` writes the Dockerfiles anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from diffufix.config import Settings
from diffufix.errors import ProjectError, UsageError
from diffufix.workspace.images import ImagePlan, image_name, plan, render

GOLDEN = Path(__file__).parent / "dockerfiles"

UV_LOCK = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "shop"
version = "1.0"
source = { virtual = "." }
dependencies = [{ name = "attrs" }]
"""
PDM_LOCK = """\
[metadata]
groups = ["default", "docs", "test"]
lock_version = "4.5.0"
content_hash = "sha256:0"

[[metadata.targets]]
requires_python = ">=3.9"
"""
HASHED = """\
# made by pip-compile
attrs==25.1.0 \\
    --hash=sha256:1c97078a80c814273a76b2a298a932eb681c87415c11dee0a6921de7f1b02c3e \\
    --hash=sha256:c75a69e28a550a7e93789579c22aa26b0f5b83b75dc4e08fe092980051e1090a
"""

#: Every flavour of project, as its files.
FLAVOURS: dict[str, dict[str, str]] = {
    "nothing": {"shop.py": "", "test_shop.py": ""},
    "pyproject": {
        "pyproject.toml": """\
[project]
name = "my.shop"
version = "1.2"
requires-python = ">=3.9,<3.12"
dependencies = ["attrs>=23", "tomli>=2; python_version < '3.11'"]
[project.optional-dependencies]
test = ["pytest>=8,<9", "my-shop[fast]"]
fast = ["orjson"]
docs = ["sphinx"]
[project.scripts]
shop = "shop:main"
[project.entry-points.pytest11]
shop = "shop.plugin"
[dependency-groups]
dev = ["hypothesis", { include-group = "lint" }]
lint = ["ruff"]
docs = ["furo"]
"""
    },
    "uv": {
        "uv.lock": UV_LOCK,
        "pyproject.toml": """\
[project]
name = "shop"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["attrs"]
[project.optional-dependencies]
testing = ["pytest"]
[dependency-groups]
dev = ["ruff"]
test = ["pytest"]
docs = ["sphinx"]
""",
        ".python-version": "3.13.1\n",
    },
    "uv-workspace": {
        "uv.lock": UV_LOCK,
        "pyproject.toml": """\
[project]
name = "shop"
version = "1.0"
[tool.uv.workspace]
members = ["packages/*"]
[tool.uv.sources]
core = { workspace = true }
""",
        "packages/core/pyproject.toml": '[project]\nname = "core"\nversion = "1"\n',
        "packages/core/src/core/__init__.py": "",
    },
    "poetry": {
        "poetry.lock": '[[package]]\nname = "attrs"\nversion = "25.1.0"\n',
        "pyproject.toml": """\
[tool.poetry]
name = "shop"
version = "0.3.0"
[tool.poetry.dependencies]
python = "^3.10"
attrs = "^25"
[tool.poetry.group.test.dependencies]
pytest = "^8"
[tool.poetry.group.docs.dependencies]
sphinx = "*"
""",
    },
    "poetry-unlocked": {
        "pyproject.toml": """\
[tool.poetry]
name = "shop"
version = "0.3.0"
[tool.poetry.dependencies]
python = "~3.11"
attrs = "^25.1"
lib = { git = "https://example.org/lib.git", tag = "v1" }
old = { version = ">=1,<2", markers = "sys_platform == 'linux'", extras = ["a"] }
orjson = { version = "^3", optional = true }
[tool.poetry.extras]
fast = ["orjson"]
[tool.poetry.dev-dependencies]
pytest = "8.3.4"
""",
    },
    "pdm": {
        "pdm.lock": PDM_LOCK,
        "pyproject.toml": """\
[project]
name = "shop"
dynamic = ["version"]
[tool.pdm.dev-dependencies]
test = ["pytest"]
""",
    },
    "requirements": {
        "requirements.txt": "# the shop\nattrs>=23\n-r requirements/web.txt\n-c limits.txt\n",
        "requirements/web.txt": "flask  # a server\n",
        "limits.txt": "werkzeug<4\n",
        "requirements-dev.txt": "-r requirements.txt\n-e .[fast]\npytest==8\n./wheels/own.whl\n",
        "wheels/own.whl": "not really",
        "setup.py": """\
from setuptools import setup
EXTRAS = {"fast": ["orjson"], "docs": ["sphinx"]}
setup(name="shop", version="2.0", python_requires=">=3.8", extras_require=EXTRAS)
""",
    },
    "hashes": {"requirements.txt": HASHED, "requirements-test.txt": "pytest\n"},
    "setup-cfg": {
        "setup.py": "from setuptools import setup\nsetup()\n",
        "setup.cfg": """\
[metadata]
name = shop
version = 1.5
[options]
python_requires = >=3.8
install_requires =
    attrs>=23
    tomli; python_version < "3.11"
[options.extras_require]
tests =
    pytest
[options.entry_points]
console_scripts =
    shop = shop:main
""",
    },
    "setup-py-computed": {
        "setup.py": """\
from setuptools import setup
setup(name="shop", install_requires=open("deps.txt").read().split(), extras_require={"test": []})
""",
        "deps.txt": "attrs\n",
        "shop.py": "",
    },
    "devcontainer-image": {
        ".devcontainer/devcontainer.json": """\
{
  // what we all use
  "name": "shop // not a comment",
  "image": "mcr.microsoft.com/devcontainers/python:3.11", /* pinned */
}
""",
        "requirements.txt": "attrs\n",
    },
    "devcontainer-build": {
        ".devcontainer/devcontainer.json": """\
{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"VARIANT": "3.11"}}}
""",
        ".devcontainer/Dockerfile": "ARG VARIANT\nFROM python:$VARIANT\n",
        "requirements.txt": "attrs\n",
    },
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def planned(root: Path, **settings: str) -> ImagePlan:
    return plan(root, Settings(root=root, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_golden_dockerfile(tmp_path: Path, flavour: str) -> None:
    found = planned(write(tmp_path, FLAVOURS[flavour]))
    text = f"# {found.source}: {found.why}\n"
    text += "".join(f"# note: {note}\n" for note in found.notes)
    text += "".join(f"# file: {name}\n" for name in sorted(found.files))
    text += render(found, base="THE-FOUNDATION" if found.foundation else "")
    path = GOLDEN / f"{flavour}.Dockerfile"
    if os.environ.get("DIFFUFIX_UPDATE_SNAPSHOTS"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_copied_file_is_in_the_context(tmp_path: Path, flavour: str) -> None:
    found = planned(write(tmp_path, FLAVOURS[flavour]))
    for step in found.steps:
        assert set(step.files) <= set(found.files)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_e2b_takes_the_same_dockerfile(tmp_path: Path, flavour: str) -> None:
    """E2B's own parser takes it, and asks for the same commands in the same order."""
    from e2b import Template

    found = planned(write(tmp_path, FLAVOURS[flavour]))
    text = render(found, base="python:3.12" if found.foundation else "", e2b=True)
    parsed = Template.to_dockerfile(Template(file_context_path=tmp_path).from_dockerfile(text))
    for step in found.steps:
        for part in re.split(r"\s*\\\n\s*", step.run):
            assert part in parsed
    assert "65534" not in parsed
    assert "PIP_INDEX_URL" not in parsed


def test_the_order_of_sources(tmp_path: Path) -> None:
    everything = {
        name: text
        for flavour in ("requirements", "pyproject", "pdm", "poetry", "uv", "devcontainer-image")
        for name, text in FLAVOURS[flavour].items()
    }
    everything["docker/Dockerfile"] = "FROM scratch\n"
    write(tmp_path, everything)
    assert planned(tmp_path, image="mine:1", dockerfile="docker/Dockerfile").base == "mine:1"
    assert planned(tmp_path, dockerfile="docker/Dockerfile").source == "docker/Dockerfile"
    sources = []
    for name in ("uv.lock", "poetry.lock", "pdm.lock", "pyproject.toml", "requirements.txt"):
        found = planned(tmp_path)
        assert found.base == "mcr.microsoft.com/devcontainers/python:3.11"
        sources.append(found.source)
        (tmp_path / name).unlink()
    assert sources == ["uv.lock", "poetry.lock", "pdm.lock", "pyproject.toml", "requirements.txt"]


def test_a_named_image_is_used_as_it_is(tmp_path: Path) -> None:
    found = planned(write(tmp_path, FLAVOURS["uv"]), image="ours:7")
    assert found.ready
    assert image_name(found) == "ours:7"


def test_a_base_with_all_that_is_needed_is_the_image(tmp_path: Path) -> None:
    found = planned(write(tmp_path, FLAVOURS["nothing"]), base_image="imported:1")
    assert found.ready
    assert image_name(found) == "imported:1"
    assert not found.downloads


def test_a_named_base_replaces_the_base_only(tmp_path: Path) -> None:
    write(tmp_path, FLAVOURS["devcontainer-build"])
    found = planned(tmp_path, base_image="imported:1")
    assert found.foundation is None
    text = render(found)
    assert "FROM imported:1" in text
    assert "python -m pip install -r requirements.txt" in text
    assert "--system-site-packages" in text


@pytest.mark.parametrize("name", ["missing", "../Dockerfile"])
def test_a_dockerfile_that_is_not_there(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "project", {"a.py": ""})
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(UsageError, match="no Dockerfile"):
        planned(root, dockerfile=name)


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": "[project\n"},
        {".devcontainer.json": "{not json}"},
    ],
)
def test_unreadable_files_are_errors_with_a_name(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(ProjectError, match=r"pyproject\.toml|devcontainer"):
        planned(write(tmp_path, files))


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        ("", "3.12"),
        (">=3.8", "3.12"),
        (">=3.9,<3.11", "3.10"),
        (">=3.12.4", "3.12"),
        (">=3.13", "3.13"),
        ("==3.11.*", "3.11"),
        ("~=3.9", "3.12"),
        (">=3.99", "3.12"),
        ("nonsense", "3.12"),
    ],
)
def test_the_python_version(tmp_path: Path, constraint: str, version: str) -> None:
    text = f'[project]\nname = "a"\nversion = "1"\nrequires-python = "{constraint}"\n'
    found = planned(write(tmp_path, {"pyproject.toml": text}))
    assert found.base == f"python:{version}-slim"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_tag_is_the_hash_of_what_decides(tmp_path: Path, flavour: str) -> None:
    files = FLAVOURS[flavour]
    one = image_name(planned(write(tmp_path / "one", files)))
    assert one == image_name(planned(write(tmp_path / "two", files)))
    write(tmp_path / "two", {"tests/test_more.py": "x = 1\n"})
    again = image_name(planned(tmp_path / "two"))
    sees_everything = flavour in ("setup-py-computed", "devcontainer-build")
    assert (one == again) is not sees_everything


def test_a_changed_lock_is_another_image_and_a_comment_is_none(tmp_path: Path) -> None:
    root = write(tmp_path, FLAVOURS["requirements"])
    before = image_name(planned(root))
    (root / "requirements/web.txt").write_text("# new words\nflask\n")
    assert image_name(planned(root)) == before
    (root / "requirements/web.txt").write_text("flask>=3\n")
    assert image_name(planned(root)) != before
    lock = write(tmp_path / "uv", FLAVOURS["uv"])
    before = image_name(planned(lock))
    (lock / "uv.lock").write_text(UV_LOCK + "\n")
    assert image_name(planned(lock)) != before
