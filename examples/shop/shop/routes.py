"""Delivery routes: a road map with distances, and the shortest ways through it."""

from __future__ import annotations

import heapq
from collections import deque


class RoadMap:
    """Places and the roads between them. Every road goes both ways."""

    def __init__(self) -> None:
        self._roads: dict[str, dict[str, float]] = {}

    def add_road(self, a: str, b: str, km: float) -> None:
        """Add a road; of two roads between the same places the shorter one counts."""
        if km <= 0:
            raise ValueError("a road must have a positive length")
        shortest = min(km, self._roads.get(a, {}).get(b, km))
        self._roads.setdefault(a, {})[b] = shortest
        self._roads.setdefault(b, {})[a] = shortest

    def places(self) -> list[str]:
        """All places, sorted by name."""
        return sorted(self._roads)

    def neighbours(self, place: str) -> dict[str, float]:
        """Places one road away, with the distance."""
        return dict(self._roads.get(place, {}))

    def shortest(self, start: str, goal: str) -> tuple[float, list[str]] | None:
        """Length and places of the shortest way, or None if there is none."""
        best = {start: 0.0}
        came_from: dict[str, str] = {}
        queue = [(0.0, start)]
        while queue:
            km, place = heapq.heappop(queue)
            if place == goal:
                return km, self._trace(came_from, start, goal)
            if km > best[place]:
                continue
            for neighbour, length in self._roads.get(place, {}).items():
                total = km + length
                if total < best.get(neighbour, float("inf")):
                    best[neighbour] = length
                    came_from[neighbour] = place
                    heapq.heappush(queue, (total, neighbour))
        return None

    @staticmethod
    def _trace(came_from: dict[str, str], start: str, goal: str) -> list[str]:
        """The places from start to goal, read backwards from the goal."""
        way = [goal]
        while way[-1] != start:
            way.append(came_from[way[-1]])
        return way[::-1]

    def reachable(self, start: str) -> set[str]:
        """Every place that can be driven to, the start included."""
        seen = {start}
        waiting = deque([start])
        while waiting:
            for neighbour in self.neighbours(waiting.popleft()):
                if neighbour not in seen:
                    seen.add(neighbour)
                    waiting.append(neighbour)
        return seen

    def islands(self) -> list[set[str]]:
        """Groups of places with no road between one group and another, largest first."""
        left = set(self._roads)
        groups = []
        while left:
            group = self.reachable(min(left))
            left -= group
            groups.append(group)
        return sorted(groups, key=len, reverse=True)
