"""A project's tree in one archive: equal trees are known by one digest, and laid as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from diffufix.cluster.actor import Host
from diffufix.cluster.cluster import Cluster, cluster_of
from diffufix.cluster.snapshot import Portable, Snapshot
from diffufix.config import load_settings
from diffufix.errors import PrerequisiteError, UsageError
from diffufix.sandbox import LocalSandbox
from diffufix.testing import fresh_copy


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "data").mkdir(parents=True)
    (root / "shop.py").write_text("def one():\n    return 1\n")
    (root / "data" / "x.bin").write_bytes(bytes(range(256)))
    (root / "run.sh").write_text("true\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to(root / "data" / "x.bin")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        who = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
        subprocess.run(["git", *who, *words], cwd=root, check=True)
    return root


def test_equal_copies_have_one_digest(project: Path, tmp_path: Path) -> None:
    first, second = (Snapshot.of(fresh_copy(project, tmp_path)) for _ in range(2))
    assert first.digest == second.digest
    (project / "shop.py").write_text("def one():\n    return 2\n")
    assert Snapshot.of(fresh_copy(project, tmp_path)).digest != first.digest


def test_a_tree_is_laid_as_it_was(project: Path, tmp_path: Path) -> None:
    tree = Snapshot.of(fresh_copy(project, tmp_path)).lay()
    assert tree.name == "shop"
    assert (tree / "shop.py").read_bytes() == (project / "shop.py").read_bytes()
    assert os.access(tree / "run.sh", os.X_OK)
    assert (tree / "link").resolve() == tree / "data" / "x.bin"
    status = subprocess.run(
        ["git", "log", "--format=%s"], cwd=tree, capture_output=True, text=True, check=True
    )
    assert status.stdout.strip() == "one"
    assert not (tree / ".git/objects/info/alternates").exists()


def test_nodes_of_another_version_are_refused(project: Path, tmp_path: Path) -> None:
    snapshot = Snapshot.of(fresh_copy(project, tmp_path))
    factory = Portable(snapshot, partial(LocalSandbox, python=sys.executable))
    _, error = Host("0.0.0", factory, {}).start()
    assert isinstance(error, PrerequisiteError)
    assert "same version" in error.hint


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PrerequisiteError) as caught, Cluster():
        pass
    assert "diffufix[ray]" in caught.value.hint


def test_nothing_is_joined_unasked() -> None:
    with cluster_of("") as cluster:
        assert cluster is None


@pytest.mark.parametrize("on", ["spark", "ray:", "ray x"])
def test_a_mistyped_cluster_is_told(tmp_path: Path, on: str) -> None:
    with pytest.raises(UsageError, match="`on` cannot be"):
        load_settings(tmp_path, (), {"on": on}, {})


def test_a_project_cannot_send_code_to_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.diffufix]\non = "ray:192.0.2.1:6379"\n')
    with pytest.raises(UsageError, match="cluster that code would be sent to"):
        load_settings(tmp_path, (), {}, {})
