"""The cluster that a run uses: `Cluster`, one Ray driver. Needs the extra `ray`.

`--on ray` takes the cluster of RAY_ADDRESS, else starts one on this machine that ends with the
run; `--on ray:ADDRESS` joins one. Touches Ray's files in the temporary directory and the nodes.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffufix.cluster.nodes import Nodes
from diffufix.cluster.pool import ClusterPool
from diffufix.cluster.snapshot import Portable, Snapshot
from diffufix.errors import PrerequisiteError
from diffufix.sandbox import Sandbox

#: Nothing is reported to anybody; candidates run with the priority that they have without Ray.
OURS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
STORE = 200 << 20  # bytes of the object store of a cluster on this machine


class Cluster:
    """Used as a context. `address` is Ray's; empty: RAY_ADDRESS, else a cluster of `cores` here.

    Raises on entering: PrerequisiteError where Ray is missing or no cluster answers.
    """

    def __init__(self, address: str = "", cores: int = 0) -> None:
        self._address, self._cores = address, cores or os.cpu_count() or 1
        self._ours = False
        self.nodes = Nodes()
        self._snapshots: dict[str, Any] = {}  # digest -> reference to the archive
        self.sent = 0  # bytes put into the object store

    def __enter__(self) -> Cluster:
        for name, value in OURS.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise PrerequisiteError(
                "Ray is not installed.", "pip install 'diffufix[ray]'"
            ) from error
        if ray.is_initialized():
            return self
        address = self._address or os.environ.get("RAY_ADDRESS", "")
        here: dict[str, Any] = {"num_cpus": self._cores, "object_store_memory": STORE}
        try:
            ray.init(
                address=address or "local", log_to_driver=False, logging_level=logging.ERROR,
                include_dashboard=None if address else False, **({} if address else here),
            )  # fmt: skip
        except Exception as error:  # Ray raises that very class where a node is slow to start
            where = f"at {address}" if address else "here"
            raise PrerequisiteError(
                f"No Ray cluster {where}: {error}", "`ray start --head` starts one."
            ) from error
        self._ours = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            import ray

            ray.shutdown()
        self._ours = False

    @property
    def address(self) -> str:
        """By which another process joins it."""
        import ray

        return str(ray.get_runtime_context().gcs_address)

    @property
    def cores(self) -> int:
        """Of all nodes together, as Ray was told."""
        import ray

        return int(ray.cluster_resources().get("CPU", 0))

    # -- what workers are made of ------------------------------------------------------------

    def carried(self, tree: Path, make: Callable[[Path], Sandbox]) -> Portable:
        """A factory for any machine: sandboxes on `tree`, which goes to each node once, and not
        again as long as the same content is asked for."""
        import ray

        snapshot = Snapshot.of(tree)
        if snapshot.digest not in self._snapshots:
            self._snapshots[snapshot.digest] = ray.put(snapshot.data)
            self.sent += snapshot.size
        return Portable(replace(snapshot, data=Stored(self._snapshots[snapshot.digest])), make)

    def stored(self, value: Any) -> Stored:
        """The value in the object store: sent once to each node that asks for it."""
        import ray

        return Stored(ray.put(value))

    def screen(
        self, tree: Path, make: Callable[[Path], Sandbox], *, workers: int = 0, **options: Any
    ) -> ClusterPool:
        """A pool of so many workers, 0 for one on each core; its candidates are tried on copies of
        `tree` in sandboxes that `make` makes of them. `options` are those of `ValidatorPool`."""
        shards = self.nodes.shards(workers or self.cores)
        return ClusterPool(self.nodes, self.carried(tree, make), shards, options)


class Stored:
    """What is in the object store; a node fetches it once for all of its actors."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference

    def __call__(self) -> Any:
        import ray

        return ray.get(self.reference)


@contextlib.contextmanager
def cluster_of(on: str, cores: int = 0) -> Iterator[Cluster | None]:
    """The cluster that the setting `on` names; None where it is empty. Raises what `Cluster` does
    on entering."""
    if not on:
        yield None
        return
    with Cluster(on.partition(":")[2], cores) as cluster:
        yield cluster
