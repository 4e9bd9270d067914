"""The screen on a real Ray cluster of several nodes on this machine, two of which are lost."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import diffufix
from diffufix.cluster import Cluster, Stored, shard
from diffufix.cluster.pool import ClusterPool
from diffufix.repair.steps import makers
from diffufix.sandbox import LocalSandbox
from diffufix.testing import fresh_copy, run_tests
from diffufix.train.rl.fleet.driver import Fleet, Weights
from diffufix.train.rl.fleet.roller import RayRoll
from diffufix.train.rl.rollouts import Throughput
from diffufix.types import RED, Candidate, Group, Prompt, State, Task, Verdict
from diffufix.verify import ValidatorPool, pool

ray = pytest.importorskip("ray", reason="Ray is not installed: diffufix[ray]")
pytestmark = pytest.mark.slow

STORE = 100 << 20
SOURCE = "def total(prices):\n    return {}\n"
TESTS = """\
from src_shop import total

def test_two():
    assert total([1, 2]) == 3

def test_none():
    assert total([]) == 0
"""
#: What stands behind `return`, and what the tests say of it.
CASES = {
    "sum(prices)": State.PASS,
    "sum(prices) + 2": State.FAIL,
    "sum(prices) and (": State.ERROR,
    "sum(iter(int, 1))": State.TIMEOUT,
}


class Place:
    """The project, its cluster, and nodes to lose."""

    def __init__(self, root: Path, scratch: Path, nodes: Any, cluster: Cluster) -> None:
        self.root, self.scratch, self.nodes, self.cluster = root, scratch, nodes, cluster
        self.workers = [nodes.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
        run = run_tests(root, [], python=Path(sys.executable), timeout=60)
        self.baseline = {case.id: case.outcome for case in run.cases}
        self.seconds = {case.id: case.seconds for case in run.cases}

    def screen(self) -> ClusterPool:
        return self.cluster.screen(
            fresh_copy(self.root, self.scratch), partial(LocalSandbox, python=sys.executable),
            python=sys.executable, args=[], root=self.root, expected=self.baseline,
            failing=[test for test, outcome in self.baseline.items() if outcome in RED],
            seconds=self.seconds,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    from ray.cluster_utils import Cluster as Nodes

    root = tmp_path_factory.mktemp("shop")
    (root / "src").mkdir()  # found by the driver, where the project lies
    (root / "src" / "src_shop.py").write_text(SOURCE.format("sum(prices) - 1"))
    (root / "test_shop.py").write_text(TESTS)
    (root / "pytest.ini").write_text("[pytest]\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        nodes = Nodes(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False,
            },
        )  # fmt: skip
        try:
            with Cluster(nodes.address) as cluster:
                yield Place(root, tmp_path_factory.mktemp("scratch"), nodes, cluster)
        finally:
            nodes.shutdown()


def verdicts(
    screen: ValidatorPool, bodies: Sequence[str], during: Callable[[int], None] = lambda n: None
) -> list[tuple[str, Verdict]]:
    """As they come; `during` is called with the number that has come."""
    asked: dict[int, str] = {}
    found: list[tuple[str, Verdict]] = []
    waiting = list(reversed(bodies))
    while waiting or screen.pending:
        while waiting and screen.capacity:
            text = SOURCE.format(waiting[-1])
            tests = sorted(screen.collected, reverse=True)
            asked[screen.submit(Candidate({"src/src_shop.py": text}), tests)] = waiting.pop()
        for token, verdict in screen.results(60):
            found.append((asked.pop(token), verdict))
            during(len(found))
    return found


def wrong(found: Sequence[tuple[str, Verdict]]) -> list[tuple[str, Verdict]]:
    """Verdicts that are not what the tests say."""
    said = {State.INFRA, State.SUSPICIOUS}
    return [(b, v) for b, v in found if v.state is not CASES.get(b, State.FAIL) or v.state in said]


def test_verdicts_are_those_of_the_tests(place: Place) -> None:
    with place.screen() as screen:
        assert len(screen.collected) == 2
        assert screen.check(sorted(screen.collected)).outcomes == place.baseline
        assert wrong(verdicts(screen, list(CASES))) == []
        most = 0
        while screen.capacity:  # no more than that is in flight
            screen.submit(Candidate({"src/src_shop.py": SOURCE.format(most)}), list(place.baseline))
            most += 1
        assert most == 2 * pool.DEPTH
        assert len({shard.node for shard in screen.shards}) == 2
    sent = place.cluster.sent
    place.screen()
    assert place.cluster.sent == sent  # the same content is not sent again


def test_a_lost_actor_costs_its_candidate_a_second_try(place: Place) -> None:
    bodies = [f"sum(prices) + {n}" for n in range(1, 20)] + ["sum(prices)"]

    with place.screen() as screen:
        victim = screen.shards[0]
        first = victim._actor

        def kill(count: int) -> None:
            if count == 5:
                ray.kill(first)

        found = verdicts(screen, bodies, kill)
        assert wrong(found) == []
        assert sorted(body for body, _ in found) == sorted(bodies)
        until = time.monotonic() + 30
        while victim._actor in (first, None) and time.monotonic() < until:
            time.sleep(0.1)
        assert victim._actor not in (first, None)


class Sampler:
    """In the place of a roller: says what weights it has."""

    def groups(
        self, weights: Weights, tasks: Sequence[Task], n: int, seed: int
    ) -> tuple[list[Group], Throughput]:
        value = float(weights.stored()["weight"][0])
        groups = [
            Group(task, Prompt((), (), (), 1), (), f"{weights.name}={value}", "") for task in tasks
        ]
        return groups, Throughput(samples=n)


def test_a_lost_roller_is_replaced_and_has_the_newest_weights(place: Place) -> None:
    import torch

    model: Any = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.zeros(2))
    task = Task("key", "x.py", "f", "", 0, 0, "statement", "mutant", ("test_x.py::test",))
    made: Any = Sampler
    fleet = Fleet(lambda lost=None: RayRoll(made), 1, lambda state: Stored(ray.put(state)))
    seen = []
    for step in range(3):
        fleet.version = f"v{step}"
        seen += [g.model for g in fleet.groups(model, [task], 4, torch.Generator())]
        model.weight.data += 1
        if step == 1:
            ray.kill(fleet._rolls[0]._actor)  # type: ignore[attr-defined]
    fleet.close()
    assert seen == ["v0=0.0", "v1=1.0", "v2=2.0"]
    assert fleet.lost == 1
    assert fleet.ages == {0: 3}


def test_a_repair_searches_on_the_cluster(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ClusterPool] = []
    screen = Cluster.screen

    def noted(*given: Any, **options: Any) -> ClusterPool:
        made.append(screen(*given, **options))
        return made[-1]

    monkeypatch.setattr(Cluster, "screen", noted)
    monkeypatch.setattr(makers, "jury_of", lambda run, place: None)  # what speaks for it takes long
    shutil.copytree(place.root, tmp_path / "shop")
    result = diffufix.repair(
        tmp_path / "shop", on=f"ray:{place.cluster.address}", model="mini", budget=120,
        candidates=20, accept="plausible", collect=False,
    )  # fmt: skip
    assert result.patch is not None, result.message
    assert "sum(prices)" in result.patch.diff
    assert [pool.workers for pool in made] == [2]


def test_lost_nodes_cost_no_verdict(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One node is killed in mid-run: the other does its work. Then that one is killed, too."""
    bodies = [f"sum(prices) + {n}" for n in range(1, 30)] + ["sum(prices)"]

    with place.screen() as screen:
        monkeypatch.setattr(shard, "ROOM", 3.0)  # for those that take a lost one's place
        shards = screen.shards
        names = {node.node_id: node for node in place.workers}
        lost = names[shards[0].node]

        def kill(count: int) -> None:
            if count == 5:
                place.nodes.remove_node(lost, allow_graceful=False)

        found = verdicts(screen, bodies, kill)
        assert wrong(found) == []
        assert len(found) == len(bodies)

        place.nodes.remove_node(names[shards[1].node], allow_graceful=False)
        seen: set[State] = set()
        until = time.monotonic() + 60
        while State.INFRA not in seen and time.monotonic() < until:  # an orphan may still answer
            seen |= {verdict.state for _, verdict in verdicts(screen, ["sum(prices)"])}
        assert State.INFRA in seen
        assert seen <= {State.INFRA, State.PASS}


def test_nothing_is_left_of_lost_workers(place: Place) -> None:
    """Their fork servers have ended with them."""
    needle = str(place.root.name).encode()
    deadline = time.monotonic() + 20
    while (left := _servers(needle)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


def _servers(needle: bytes) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes()
            where = os.readlink(f"/proc/{name}/cwd").encode()
        except OSError:
            continue
        if b"_diffufix_inside" in line and needle in where:
            found.append(int(name))
    return found
