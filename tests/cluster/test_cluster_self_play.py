"""Self-play on a real Ray cluster on this machine: models there sample, one of them is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from diffufix.config import Settings
from diffufix.model import load_model
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.fleet.driver import Fleet
from diffufix.train.rl.learn import Row, learn
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted
from tests.support.practised import write_project

ray = pytest.importorskip("ray", reason="Ray is not installed: diffufix[ray]")
pytestmark = pytest.mark.slow

PLAN = TrainConfig(
    "count", minutes=0, steps=2, tasks=4, group=4, inner=1, temperature=0.7, save_every=1,
    wrong_fills=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SelfPlayEnv]:
    root = write_project(tmp_path_factory.mktemp("fleet") / "project")
    settings = Settings(root=root, sandbox="local", model="mini", device="cpu", on="ray", workers=1)
    wanted = Wanted(tasks=12, held_out=0, history=False)
    with SelfPlayEnv(settings, load_model("mini", device="cpu"), wanted) as opened:
        yield opened


def test_a_session_samples_there_and_goes_on_after_a_loss(
    practice: SelfPlayEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleets: list[Fleet] = []
    broadcast = Fleet._broadcast

    def noted(fleet: Fleet, model: torch.nn.Module) -> None:
        fleets.append(fleet)
        broadcast(fleet, model)  # type: ignore[arg-type]

    monkeypatch.setattr(Fleet, "_broadcast", noted)

    def lose(row: Row) -> None:
        if row["step"] == 1:
            ray.kill(fleets[0]._rolls[0]._actor)  # type: ignore[attr-defined]

    model = load_model("mini", device="cpu")
    result = learn(model, practice, PLAN, tmp_path, listen=lose)
    assert result.groups == 8
    assert result.throughput.samples == 32
    assert [row["lost_rollers"] for row in result.rows] == [0, 1]
    assert [row["staleness_most"] for row in result.rows] == [0, 0]

    again = load_model("mini", device="cpu")
    further = TrainConfig(**{**PLAN.__dict__, "steps": 3, "stale": 1})
    result = learn(again, practice, further, tmp_path)
    assert result.steps == 3
    (row,) = result.rows
    assert row["staleness_most"] <= 1
    assert len({id(fleet) for fleet in fleets}) == 2


def test_the_same_is_sampled_however_many_sample(practice: SelfPlayEnv) -> None:
    model = load_model("mini", device="cpu")
    asked = practice.tasks[:4]
    alone = practice.rolling(id, version="v", keep=lambda group: None, sampling=PLAN.sampling)
    assert isinstance(alone, Fleet)
    found = []
    for fleet in (alone, Fleet(alone.hire, 2, alone.store, version="v")):
        groups = fleet.groups(model, asked, 2, torch.Generator().manual_seed(3))
        found.append([(g.task.key, [(c.text, c.state) for c in g.completions]) for g in groups])
        fleet.close()
    assert [key for key, _ in found[0]] == [task.key for task in asked]
    assert found[0] == found[1]
