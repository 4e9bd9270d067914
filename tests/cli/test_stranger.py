"""A cloned project with every trap in it: opening it runs nothing outside a sandbox, touches
nothing outside the project, and hides nothing from the eye."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from diffufix import trusted
from diffufix.config import brought_along, load_settings, read_pyproject
from diffufix.errors import ApplyError, StoreError, UsageError
from diffufix.registry.models import Registry
from diffufix.repair.apply import undo
from diffufix.sandbox.bubblewrap import bubblewrap_works
from diffufix.source import repository
from diffufix.source.plain import read_within, write_within
from diffufix.store import Store
from diffufix.store.exchange import read as read_groups
from diffufix.store.folder import private_folder, private_path, trust
from diffufix.testing import copy_project, find_interpreter

MARK = "sprung"
REAL_GIT = subprocess.run(["git", "--version"], capture_output=True, check=False).returncode == 0


class Clone:
    """`root` is the project, `outside` must stay as it is; whatever runs leaves `sprung` there."""

    def __init__(self, folder: Path) -> None:
        self.root, self.outside = folder / "clone", folder / "outside"
        self.root.mkdir()
        self.outside.mkdir()
        (self.outside / "canary").write_text("alive")
        (self.outside / "id").write_text("secret")
        self.write("shop.py", "def total(prices):\n    return sum(prices)\n")
        self.write("test_shop.py", "import shop\n\ndef test():\n    assert shop.total([1]) == 1\n")
        self.write("pyproject.toml", "[tool.pytest.ini_options]\n")

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        made = self.root / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        made.chmod(mode)
        return made

    def program(self, path: str) -> Path:
        """A program that leaves its mark when it is run."""
        return self.write(path, f"#!/bin/sh\ntouch {self.outside}/{MARK}\nexit 0\n", 0o755)

    def run(self, *args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "diffufix", *args], cwd=self.root,
            env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def untouched(self) -> bool:
        seen = {p.name: p.read_text() for p in self.outside.iterdir()}
        return seen == {"canary": "alive", "id": "secret"}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Clone(tmp_path)


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ['python = "./evil"', 'sandbox = "local"', 'rewards = "evil:f"', 'runtime = "evil"']
)
def test_what_would_act_outside_needs_the_users_word(clone: Clone, line: str) -> None:
    clone.write("pyproject.toml", f"[tool.diffufix]\n{line}\n")
    clone.write("evil.py", "def f(verdict, edit): return 1\n")
    with pytest.raises(UsageError, match="brings along") as caught:
        load_settings(clone.root, environ={})
    assert "--trust" in caught.value.hint
    load_settings(clone.root, overrides={"trust": True}, environ={})
    load_settings(clone.root, environ={})  # remembered
    clone.write("pyproject.toml", f'[tool.diffufix]\n{line[:-1]}2"\n'.replace("local2", "local"))
    if "local" not in line:
        with pytest.raises(UsageError):
            load_settings(clone.root, environ={})


def test_a_reward_function_that_changes_is_asked_for_again(clone: Clone) -> None:
    clone.write("pyproject.toml", '[tool.diffufix]\nrewards = "size=0, pkg.evil:f=0.5"\n')
    clone.write("pkg/evil.py", "def f(verdict, edit): return 1\n")
    load_settings(clone.root, overrides={"trust": True}, environ={})
    clone.write("pkg/evil.py", "def f(verdict, edit): return 2\n")
    with pytest.raises(UsageError):
        load_settings(clone.root, environ={})


def test_what_the_user_says_needs_no_word(clone: Clone) -> None:
    clone.write("pyproject.toml", '[tool.diffufix]\npython = "./evil"\nrewards = "size=0"\n')
    load_settings(clone.root, overrides={"python": sys.executable}, environ={})
    assert brought_along(clone.root, {"rewards": "size=0,static=2"}) == {}


def test_a_project_cannot_trust_itself(clone: Clone) -> None:
    clone.write("pyproject.toml", "[tool.diffufix]\ntrust = true\n")
    with pytest.raises(UsageError, match="not the project's to say"):
        load_settings(clone.root, environ={})


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 30_000, "x = " + "[" * 30_000 + "]" * 30_000, "tool = 1\n"]
)
def test_a_pyproject_of_any_depth_is_an_error_that_says_so(clone: Clone, text: str) -> None:
    clone.write("pyproject.toml", text)
    with pytest.raises(UsageError, match="cannot be read"):
        read_pyproject(clone.root)


def test_rewards_of_any_depth_are_an_error(clone: Clone) -> None:
    file = clone.write("r.jsonl", "[" * 100_000 + "\n")
    with pytest.raises(StoreError, match="too deeply"):
        list(read_groups(file))


# -- .diffufix/ ------------------------------------------------------------------------------------


def test_a_log_that_came_with_the_clone_is_not_used(clone: Clone) -> None:
    clone.write(".diffufix/.gitignore", "*\n")
    connection = sqlite3.connect(clone.root / ".diffufix" / "log.sqlite")
    connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY)")
    connection.close()
    with pytest.raises(StoreError, match="not made by you"):
        Store.open_strictly(clone.root)
    with Store.open(clone.root) as store:
        assert "not made by you" in store.warning
    with pytest.raises(StoreError):
        Registry(clone.root)
    with pytest.raises(StoreError):
        undo(clone.root)
    trust(clone.root)
    private_path(clone.root)


def test_what_diffufix_made_is_used_again(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    private_folder(clone.root)
    Store.open_strictly(clone.root).close()
    Store.open_strictly(clone.root, create=False).close()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(clone.outside))  # another user
    with pytest.raises(StoreError):
        private_path(clone.root)
    monkeypatch.setenv("DIFFUFIX_TRUST", "1")
    private_path(clone.root)


@pytest.mark.parametrize("name", ["", "log.sqlite", "crash.log", "models", "undo", "models/x"])
def test_a_link_in_it_is_never_followed(clone: Clone, name: str) -> None:
    if name:
        private_folder(clone.root)
        (clone.root / ".diffufix" / name).parent.mkdir(exist_ok=True)
    (clone.root / ".diffufix" / name if name else clone.root / ".diffufix").symlink_to(
        clone.outside
    )
    with pytest.raises(StoreError, match="is a link"):
        private_folder(clone.root)
    with pytest.raises(StoreError):
        Store.open_strictly(clone.root)
    assert clone.untouched()


def test_an_endless_file_is_not_read(clone: Clone) -> None:
    private_folder(clone.root)
    folder = clone.root / ".diffufix" / "models"
    folder.mkdir()
    os.mkfifo(folder / "adopted.json")
    with pytest.raises(StoreError):
        Registry(clone.root).in_use()


@pytest.mark.parametrize("path", [".git/config", "../outside/canary", "link/canary", "/etc/x"])
def test_undo_writes_sources_of_the_project_only(clone: Clone, path: str) -> None:
    clone.write(".git/config", "[core]\n")
    (clone.root / "link").symlink_to(clone.outside)
    journal = private_folder(clone.root) / "undo" / "1"
    journal.mkdir(parents=True)
    (journal / "0.original").write_text("[core]\nfsmonitor = touch x\n")
    (journal / "0.patched").write_text("[core]\n")
    entry = {"path": path, "original": "0.original", "patched": "0.patched"}
    (journal / "manifest.json").write_text(json.dumps({"files": [entry]}))
    with pytest.raises(ApplyError):
        undo(clone.root, force=True)
    entry |= {"path": "shop.py", "original": "../../../../outside/id"}
    (journal / "manifest.json").write_text(json.dumps({"files": [entry]}))
    with pytest.raises(ApplyError):
        undo(clone.root, force=True)
    assert clone.untouched()
    assert (clone.root / ".git/config").read_text() == "[core]\n"


# -- git, interpreters, links ----------------------------------------------------------------------


@pytest.mark.skipif(not REAL_GIT, reason="no git")
def test_git_runs_nothing_that_its_configuration_names(clone: Clone) -> None:
    evil = clone.program("evil.sh")
    run = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*run, *command], cwd=clone.root, check=True)
    keys = ["core.fsmonitor", "core.pager", "core.editor", "diff.external", "filter.x.clean"]
    for key in [*keys, "filter.x.smudge", "core.sshCommand"]:
        subprocess.run(["git", "config", key, str(evil)], cwd=clone.root, check=True)
    clone.write(".gitattributes", "* filter=x\n")
    clone.write("shop.py", "changed = 1\n")
    assert repository.uncommitted(clone.root, ["shop.py", "test_shop.py"]) == ("shop.py",)
    assert repository.ignored(clone.root) is not None
    copy_project(clone.root, clone.root.parent / "copy")
    assert clone.untouched()


@pytest.mark.skipif(not REAL_GIT, reason="no git")
def test_a_folder_that_looks_like_a_repository_is_none(clone: Clone) -> None:
    evil = clone.program("evil.sh")
    clone.write("HEAD", "ref: refs/heads/main\n")
    clone.write("config", f"[core]\nbare = false\nworktree = .\nfsmonitor = {evil}\n")
    for folder in ("objects", "refs"):
        (clone.root / folder).mkdir()
    repository.ignored(clone.root)
    repository.uncommitted(clone.root, ["shop.py"])
    assert clone.untouched()


@pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")
def test_an_interpreter_of_the_clone_is_asked_in_a_sandbox(clone: Clone) -> None:
    clone.program(".venv/bin/python")
    with pytest.raises(Exception, match="no pytest"):
        find_interpreter(clone.root)
    assert clone.untouched()


def test_links_out_of_the_tree_are_neither_read_nor_written(clone: Clone) -> None:
    (clone.root / "linked.py").symlink_to(clone.outside / "canary")
    (clone.root / "folder").symlink_to(clone.outside)
    assert read_within(clone.root, clone.root / "linked.py") is None
    assert read_within(clone.root, clone.root / "folder" / "id") is None
    tree = copy_project(clone.root, clone.root.parent / "copy")
    write_within(tree, "linked.py", b"new")
    with pytest.raises(Exception, match="outside"):
        write_within(tree, "folder/canary", b"new")
    assert clone.untouched()
    assert (tree / "linked.py").read_text() == "new"


# -- what is shown ---------------------------------------------------------------------------------


def test_what_a_terminal_would_obey_or_hide_is_written_out() -> None:
    assert trusted.visible("plain, ünïcode\n\tok") == "plain, ünïcode\n\tok"
    for text in (
        "\x1b[2J",
        "a\rb",
        "\x9b1m",
        "\u202eevil\u202c",
        "\u2066x",
        "\u200b",
        "\x07",
        "\x00",
    ):
        shown = trusted.visible(text)
        assert shown != text
        assert shown.isprintable()
        assert "\\" in shown


# -- all of it at once -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")
def test_every_command_in_a_clone_full_of_traps(clone: Clone) -> None:
    evil = clone.program("evil.sh")
    clone.program(".venv/bin/python")
    clone.write("reward.py", f"open({str(clone.outside / MARK)!r}, 'w')\ndef f(v, e): return 1\n")
    escape = clone.write("test_\x1b[31m_shop.py", "def test():\n    assert 1\n")
    leave = f"open({str(clone.outside / MARK)!r}, 'w')\n"
    clone.write(
        "conftest.py", f"import contextlib\nwith contextlib.suppress(OSError):\n    {leave}"
    )
    clone.write("mypy.ini", "[mypy]\nplugins = ./reward.py\n")
    clone.write("HEAD", "ref: refs/heads/main\n")
    clone.write("config", f"[core]\nfsmonitor = {evil}\n")
    (clone.root / ".diffufix").symlink_to(clone.outside)
    (clone.root / ".pytest_cache").symlink_to(clone.outside)
    (clone.root / "stub.py").symlink_to(clone.outside / "id")
    clone.write("pyproject.toml", '[tool.diffufix]\nrewards = "reward:f"\npython = "./evil.sh"\n')
    env = {"DIFFUFIX_SANDBOX": "local"}
    commands = (
        ("repair", "--budget", "5"), ("generate", "shop.py"), ("train", "--dry-run"),
        ("runs", "list"), ("undo",), ("models", "list"), ("rewards", "show"),
    )  # fmt: skip
    for command in commands:
        code, said = clone.run(*command, env=env)
        assert code == 2, (command, said)
        assert "\x1b" not in said
        assert "Traceback" not in said
        assert clone.untouched(), command
    (clone.root / ".diffufix").unlink()
    escape.unlink()
    code, said = clone.run(
        "repair", "--python", sys.executable, env={**env, "DIFFUFIX_REWARDS": "size=0"}
    )
    assert code == 0, said
    assert "nothing to repair" in said
    assert clone.untouched()


#: Every command that opens a project, as far as it gets without a model's work.
COMMANDS = (
    ("repair", "--budget", "5"), ("generate", "shop.py"), ("train", "--dry-run"),
    ("runs", "list"), ("undo",), ("models", "list"),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")
@pytest.mark.parametrize("brought", ["link", "folder"])
def test_every_command_where_only_what_was_kept_is_a_trap(clone: Clone, brought: str) -> None:
    """The settings are the user's own; `.diffufix` is a link, or holds a log with a trigger, an
    undo record that leads outside and an adopted model."""
    mark = clone.outside / MARK
    if brought == "link":
        (clone.root / ".diffufix").symlink_to(clone.outside)
    else:
        clone.write(".diffufix/.gitignore", "*\n")
        connection = sqlite3.connect(clone.root / ".diffufix" / "log.sqlite")
        connection.executescript(
            "CREATE TABLE runs (id INTEGER PRIMARY KEY);"
            "CREATE TRIGGER t AFTER INSERT ON runs BEGIN INSERT INTO runs (id) VALUES (NULL); END;"
        )
        connection.close()
        entry = {"path": "../outside/canary", "original": "0.original", "patched": "0.patched"}
        clone.write(".diffufix/undo/1/manifest.json", json.dumps({"files": [entry]}))
        clone.write(".diffufix/undo/1/0.original", "gone")
        clone.write(".diffufix/undo/1/0.patched", "alive")
        clone.write(".diffufix/models/adopted.json", json.dumps({"adopted": str(mark)}))
    (clone.root / ".pytest_cache").symlink_to(clone.outside)
    before = {p for p in clone.root.rglob("*") if ".diffufix" in p.parts}
    env = {"DIFFUFIX_SANDBOX": "local", "DIFFUFIX_PYTHON": sys.executable}
    for command in COMMANDS:
        code, said = clone.run(*command, env=env)
        assert code in (0, 1, 2), (command, code, said)
        assert "Traceback" not in said, (command, said)
        assert "gone" not in said
        assert clone.untouched(), command
        assert {p for p in clone.root.rglob("*") if ".diffufix" in p.parts} == before, command
        if command[0] in ("runs", "undo", "models"):
            assert code == 2, (command, said)
            assert "link" in said if brought == "link" else "not made by you" in said, said
