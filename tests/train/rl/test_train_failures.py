"""A killed worker, a killed session, a full disk: what was collected stays, and it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diffufix.config import Settings
from diffufix.errors import SandboxUnavailable, TrainingError
from diffufix.model import load_model
from diffufix.sandbox.processes import LocalProcess
from diffufix.store import Store
from diffufix.store.store import log_path
from diffufix.store.trajectories import read_groups
from diffufix.train.checkpoints import MODEL, STATE, read_progress, write_whole
from diffufix.train.pretrain.fresh import mini_family
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.learn import LOST, LearnResult, Row, learn
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted
from diffufix.train.tracking import LOG, Tracker
from diffufix.verify.worker import Worker
from tests.support.groups import make_groups, prompts
from tests.support.mini import tiny_model
from tests.support.practised import write_project
from tests.support.small_disk import SmallDisk, mounted

PLAN = TrainConfig(
    method="rft", minutes=0, steps=3, tasks=2, group=3, save_every=1, inner=1, tokens_per_step=4,
    wrong_fills=False,
)  # fmt: skip
WANTED = Wanted(tasks=8, held_out=0, history=False)
ROOM = 224  # MiB; a session of mini wants 147 to begin


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SelfPlayEnv]:
    root = write_project(tmp_path_factory.mktemp("failures") / "project")
    settings = Settings(root=root, sandbox="local", workers=1)
    with SelfPlayEnv(settings, load_model("mini", device="cpu"), WANTED) as opened:
        yield opened


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", ROOM) as made:
        yield made


def session(
    practice: SelfPlayEnv, out: Path, store: Store,
    listen: Callable[[Row], None] = lambda row: None, **changes: object,
) -> LearnResult:  # fmt: skip
    plan = TrainConfig(**{**PLAN.__dict__, **changes})
    run = store.begin_run({}, "train")
    model = load_model("mini", device="cpu")
    return learn(model, practice, plan, out, store=store, run_id=run, listen=listen)


def at(step: int, act: Callable[[], object]) -> Callable[[Row], None]:
    def listen(row: Row) -> None:
        if row["step"] == step:
            act()

    return listen


def steps_of(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / LOG).read_text().splitlines()]


def states_of(store: Store) -> list[tuple[str, list[tuple[str, str]]]]:
    return [
        (group.task.key, [(one.text, one.state) for one in group.completions])
        for group in read_groups(store, oldest_first=True)
    ]


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 400
    while not true():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.0005)


# -- a killed worker -------------------------------------------------------------------------------


def kill_server(practice: SelfPlayEnv) -> int:
    """SIGKILL to the fork server of the one worker; returns how many there were."""
    servers = [worker._process for worker in practice.screen._workers]
    for server in servers:
        assert isinstance(server, LocalProcess)
        os.kill(server.pid, signal.SIGKILL)
    return len(servers)


def test_a_killed_worker_changes_no_verdict(practice: SelfPlayEnv, tmp_path: Path) -> None:
    """Once while it waits for candidates, once in the middle of one."""
    (tmp_path / "whole").mkdir()
    with Store.open(tmp_path / "whole") as store:
        session(practice, tmp_path / "whole", store, group=6)
        whole = states_of(store)
    killed: list[int] = []

    def in_the_middle() -> None:
        until(lambda: practice.screen.pending, "a candidate under way")
        killed.append(kill_server(practice))

    def disturb(row: Row) -> None:
        if row["step"] == 1:
            killed.append(kill_server(practice))
        if row["step"] == 2:
            threading.Thread(target=in_the_middle, daemon=True).start()

    (tmp_path / "killed").mkdir()
    with Store.open(tmp_path / "killed") as store:
        result = session(practice, tmp_path / "killed", store, disturb, group=6)
        assert killed == [1, 1]
        assert result.steps == 3
        assert not result.interrupted
        assert states_of(store) == whole
        assert len(whole) == result.groups == 6


def test_a_sandbox_that_is_gone_ends_the_session_with_a_checkpoint(
    practice: SelfPlayEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(worker: Worker) -> None:
        raise SandboxUnavailable("the engine does not answer")

    with Store.open(tmp_path) as store:
        monkeypatch.setattr(Worker, "restart", gone)
        with pytest.raises(SandboxUnavailable) as caught:
            session(
                practice,
                tmp_path,
                store,
                at(1, lambda: kill_server(practice)),
                steps=20,
                save_every=100,
            )
        monkeypatch.undo()
        practice.screen._workers[0].restart()
        assert "same command" in caught.value.hint
        last = int(read_progress(tmp_path, "cpu")["step"])
        assert LOST <= last < 20
        assert steps_of(tmp_path) == list(range(1, last + 1))
        groups = [dict(states) for _, states in states_of(store)]
        known = groups[0] | groups[1]  # of the first step
        for states in groups[2:]:
            assert {state for text, state in states.items() if text not in known} <= {
                "infra", "error"
            }  # fmt: skip
        result = session(practice, tmp_path, store, steps=last + 1, save_every=100)
        assert result.steps == last + 1


# -- a full disk -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["torch", "safetensors", "text"])
def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, kind: str) -> None:
    tensors = {"a": torch.zeros(500_000), "b": torch.zeros(10)}
    writers: dict[str, Callable[[Path], object]] = {
        "torch": lambda path: torch.save(tensors, path),
        "safetensors": lambda path: save_file(tensors, str(path)),
        "text": lambda path: path.write_text("a" * 2_000_000),
    }
    with mounted(tmp_path / "disk", 4) as disk:
        path = disk.path / "file"
        path.write_text("before")
        disk.fill(1_000_000)
        with pytest.raises(TrainingError, match="No space left on device") as caught:
            write_whole(path, writers[kind])
        assert "\n" not in caught.value.message
        assert "Make room" in caught.value.hint
        assert path.read_text() == "before"
        disk.free()
        write_whole(path, writers[kind])
        assert path.stat().st_size >= 2_000_000
        assert [one.name for one in disk.path.iterdir()] == ["file"]


def test_rows_wait_for_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mounted(tmp_path / "disk", 2) as disk:
        with Tracker(disk.path, 0, 400, every=1, quiet=True, tensorboard=True) as tracker:
            for step in range(400):
                if step == 20:
                    disk.fill()
                if step == 380:
                    disk.free()
                tracker.add(0.5, 1)
                tracker.row(reward=step / 400)
        assert steps_of(disk.path) == list(range(1, 401))
        said = capsys.readouterr().err.splitlines()
        assert len([line for line in said if "No space left" in line and "make room" in line]) <= 2
        assert said
        with Tracker(disk.path, 300, 400, every=1, quiet=True, tensorboard=False):
            assert steps_of(disk.path) == list(range(1, 301))
            disk.fill()
        with pytest.raises(TrainingError, match="No space left"):
            Tracker(disk.path, 200, 400, every=1, quiet=True, tensorboard=False)
        assert steps_of(disk.path) == list(range(1, 301))


def test_groups_wait_for_room(tmp_path: Path) -> None:
    model = tiny_model(40)
    groups = make_groups(model, prompts(30), lambda prompt, ids: 1.0, n=4, family=mini_family())
    with mounted(tmp_path / "disk", 2) as disk:
        with Store.open(disk.path) as store:
            run = store.begin_run({}, "train")
            for group in groups[:10]:
                store.add_group(run, group)
            store.flush()
            disk.fill()
            for group in groups[10:20]:
                store.add_group(run, group)
                store.flush()
            assert "make room" in store.warning
            assert len(list(read_groups(store))) == 10
            disk.free()
            store.flush()
            assert store.warning == ""
            assert len(list(read_groups(store))) == 20
            disk.fill()
            for group in groups[20:]:
                store.add_group(run, group)
        assert "incomplete" in store.warning
        with Store.open_strictly(disk.path) as store:
            assert len(list(read_groups(store))) == 20  # it opens and reads on a full disk
            check = store.connection.execute("PRAGMA integrity_check").fetchone()[0]
            assert check == "ok"


def test_a_session_goes_through_a_full_disk(
    practice: SelfPlayEnv, disk: SmallDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is full during the second step and has room again before the checkpoint."""
    out = disk.path / "out"
    with Store.open(disk.path) as store:

        def listen(row: Row) -> None:
            at(1, disk.fill)(row)
            at(2, disk.free)(row)

        result = session(practice, out, store, listen, save_every=100, tensorboard=True)
        assert store.warning == ""
        assert store.query("SELECT count(*) FROM groups")[0][0] == result.groups == 6
    assert steps_of(out) == [1, 2, 3]
    said = capsys.readouterr().err
    assert "warning: The log cannot be written" in said
    assert "Traceback" not in said
    assert int(read_progress(out, "cpu")["step"]) == 3


def test_a_checkpoint_without_room_leaves_the_last_one(
    practice: SelfPlayEnv, disk: SmallDisk
) -> None:
    out = disk.path / "out"
    with (
        Store.open(disk.path) as store,
        pytest.raises(TrainingError, match="No space left on device") as caught,
    ):
        session(practice, out, store, at(2, disk.fill))
    assert "same command" in caught.value.hint
    with Store.open_strictly(disk.path) as store:
        assert store.query("SELECT count(*) FROM groups")[0][0] == 4
    assert int(read_progress(out, "cpu")["step"]) == 1
    load_model(out / MODEL, device="cpu")
    disk.free()
    with Store.open(disk.path) as store:
        result = session(practice, out, store)
        assert result.steps == 3
        assert store.query("SELECT count(*) FROM groups")[0][0] == 8  # the second step's twice
    assert steps_of(out) == [1, 2, 3]


# -- a killed session ------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from diffufix.config import Settings
from diffufix.model import load_model
from diffufix.sandbox.processes import LocalProcess
from diffufix.store import Store
from diffufix.train.rl.self_play import SelfPlayEnv
from tests.train.rl.test_train_failures import WANTED, session
root, out = Path(sys.argv[1]), Path(sys.argv[2])
settings = Settings(root=root, sandbox="local", workers=1)
model = load_model("mini", device="cpu")
with Store.open(out) as store, SelfPlayEnv(settings, model, WANTED) as here:
    session(here, out, store, steps=1000)
"""


def test_a_killed_session_goes_on(practice: SelfPlayEnv, tmp_path: Path) -> None:
    """Killed while a checkpoint is being written, gone on with, killed between two of them."""
    fresh = tmp_path / f"{STATE}.new"

    def rows() -> int:
        return len(steps_of(tmp_path)) if (tmp_path / LOG).is_file() else 0

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", CHILD, str(practice.settings.root), str(tmp_path)]
        return subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )

    with start() as child:
        until(lambda: (rows() >= 2 and fresh.exists()) or child.poll() is not None, "a checkpoint")
        child.kill()
    before = int(read_progress(tmp_path, "cpu")["step"])
    assert 1 <= before <= rows() <= before + 1
    with start() as child:
        until(lambda: rows() > before + 1 or child.poll() is not None, "more rows")
        child.kill()
    last = int(read_progress(tmp_path, "cpu")["step"])
    assert last >= before
    with Store.open(tmp_path) as store:
        assert store.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert store.query("SELECT count(*) FROM groups")[0][0] >= 2 * rows()
        result = session(practice, tmp_path, store, steps=last + 1)
        assert result.steps == last + 1
    assert steps_of(tmp_path) == list(range(1, last + 2))
    assert log_path(tmp_path).is_file()
    assert not fresh.exists()
