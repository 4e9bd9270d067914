"""Models that sample on several nodes of a real Ray cluster; one node is killed in mid-training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from diffufix.config import Settings
from diffufix.model import load_model
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.fleet.driver import Fleet
from diffufix.train.rl.fleet.hiring import Hiring, rooms
from diffufix.train.rl.fleet.roller import RayRoll
from diffufix.train.rl.learn import Row, learn
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted
from tests.support.practised import write_project

ray = pytest.importorskip("ray", reason="Ray is not installed: diffufix[ray]")
pytestmark = pytest.mark.slow

STORE = 80_000_000  # bytes
PLAN = TrainConfig(
    "count", minutes=0, steps=2, tasks=4, group=4, inner=1, temperature=0.7, wrong_fills=False,
)  # fmt: skip


def home_of(roll: RayRoll) -> str:
    """The node where a roller really is."""
    from ray._private.state import actors

    found: str = actors(roll._actor._actor_id.hex())["Address"]["NodeID"]
    return found


def test_each_node_has_a_roller_and_one_may_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster as Nodes

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    hired: list[RayRoll] = []
    real = RayRoll.__init__

    def noted(roll: RayRoll, made: Any, gpus: float = 0.0, node: str = "") -> None:
        real(roll, made, gpus, node)
        hired.append(roll)

    monkeypatch.setattr(RayRoll, "__init__", noted)
    head: dict[str, Any] = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    nodes = Nodes(initialize_head=True, head_node_args=head)
    try:
        workers = [nodes.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
        names = {node.node_id: node for node in workers}
        settings = Settings(
            root=write_project(tmp_path / "project"), sandbox="local", model="mini", device="cpu",
            on=f"ray:{nodes.address}",
        )  # fmt: skip

        def lose(row: Row) -> None:
            if row["step"] == 1:
                nodes.remove_node(names[home_of(hired[0])], allow_graceful=False)
                until = time.monotonic() + 60
                while len(rooms()) > 1 and time.monotonic() < until:
                    time.sleep(0.1)

        model = load_model("mini", device="cpu")
        before = [each.detach().clone() for each in model.parameters()]
        wanted = Wanted(tasks=8, held_out=0, history=False)
        with SelfPlayEnv(settings, load_model("mini", device="cpu"), wanted) as practice:
            fleet = practice.rolling(id, version="v", keep=lambda _: None, sampling=PLAN.sampling)
            assert isinstance(fleet, Fleet)
            assert isinstance(fleet.hire, Hiring)
            assert fleet.count == 2
            fleet.close()
            hired.clear()
            result = learn(model, practice, PLAN, tmp_path / "out", listen=lose)
        assert sorted(roll.node for roll in hired[:2]) == sorted(names)
        assert result.rows[0]["lost_rollers"] == 0 < result.rows[1]["lost_rollers"]
        assert result.groups == 8
        assert result.throughput.samples == 32
        after = list(model.parameters())
        assert not all(map(torch.equal, before, after))
    finally:
        nodes.shutdown()
