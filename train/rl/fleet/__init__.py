"""Rollouts by several models on a cluster, with weights sent to them and a bound on their age."""
