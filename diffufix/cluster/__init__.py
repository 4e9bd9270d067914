"""Verification on other machines, by Ray: the workers of `verify` where the cores are."""

from diffufix.cluster.cluster import Cluster, cluster_of
from diffufix.cluster.snapshot import Snapshot

__all__ = ["Cluster", "Snapshot", "cluster_of"]
