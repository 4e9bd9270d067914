"""`diffufix train --self-play` under watch: TensorBoard's files, and a disk that fills."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from diffufix.cli import main
from diffufix.registry.models import Registry
from diffufix.store import Store
from diffufix.train.rl.self_play import Wanted
from diffufix.train.tracking import LOG
from tests.support.practised import write_project
from tests.support.small_disk import mounted

COMMAND = (
    "train", "--self-play", "--model", "mini", "--sandbox", "local", "--workers", "1",
    "--held-out", "0", "--minutes", "0", "--name", "one",
)  # fmt: skip
NAMED = {"reward", "signal", "kl", "clipped", "length", "arness", "loss", "norm"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as the working folder; fewer tasks than usual are enough."""
    root = write_project(tmp_path / "sums")
    monkeypatch.chdir(root)
    monkeypatch.setattr(
        "diffufix.train.rl.self_play.Wanted",
        lambda **values: replace(Wanted(tasks=8, history=False), **values),
    )
    return root


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def test_tensorboard_shows_what_the_log_holds(here: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main([*COMMAND, "--tasks", "5", "--group", "4", "--steps", "2", "--tensorboard"]) == 1
    folder = here / ".diffufix" / "training" / "one"
    rows = rows_of(folder)
    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    assert set(found.Tags()["scalars"]) >= NAMED
    for tag in found.Tags()["scalars"]:
        shown = {event.step: event.value for event in found.Scalars(tag)}
        assert shown == pytest.approx({row["step"]: row[tag] for row in rows if tag in row})
    assert set(found.Tags()["scalars"]) | {"step"} == {key for row in rows for key in row}


@pytest.mark.slow
def test_a_disk_that_fills_is_an_error_in_a_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / ".diffufix" / "training" / "one"
    command = [*COMMAND, "--method", "rft", "--tasks", "2", "--group", "3", "--steps", "4"]
    with mounted(here / ".diffufix", 224) as disk:
        over = threading.Event()

        def fill() -> None:
            while not over.is_set():
                if (folder / LOG).is_file() and rows_of(folder):
                    disk.fill()
                    return
                time.sleep(0.001)

        filler = threading.Thread(target=fill)
        filler.start()
        code = main(command)
        over.set()
        filler.join()
        said = capsys.readouterr().err
        assert code == 2, said
        assert "No space left on device" in said
        assert "Make room, then run the same command again." in said
        assert "Traceback" not in said
        assert not (disk.path / "crash.log").exists()
        with Store.open_strictly(here) as store:
            kept = store.query("SELECT count(*) FROM groups")[0][0]
        assert kept >= 2
        disk.free()
        assert main(command) == 1, capsys.readouterr().err
        assert Registry(here).names() == ["one"]
        with Store.open_strictly(here) as store:
            assert store.query("SELECT count(*) FROM groups")[0][0] == kept + 8


def test_no_room_for_scratch_copies_is_an_error_in_a_line(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "scratch", 1) as disk:
        disk.fill()
        monkeypatch.setattr("tempfile.tempdir", str(disk.path))
        code = main([*COMMAND, "--steps", "1"])
        said = capsys.readouterr().err
    assert code == 2
    assert "No space left on device" in said
    assert "Make room" in said
    assert "Traceback" not in said
    assert not (here / ".diffufix" / "crash.log").exists()
