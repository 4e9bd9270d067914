"""Verification on other machines, by Ray: the workers of `verify` where the cores are."""

from diffufix.cluster.cluster import Cluster, Stored, cluster_of
from diffufix.cluster.snapshot import Snapshot

__all__ = ["Cluster", "Snapshot", "Stored", "cluster_of"]
