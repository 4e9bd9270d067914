"""The search as a picture: when which places were filled, and what the tests said.

Above, verdicts over time as columns; below, a lane for each function, in which a mark stands at the
time of a verdict and at the height of the line that was changed. Plain numbers for the template:
units are those of the SVG's viewBox.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from diffufix.store.query import PlaceRow, TriedRow

WIDTH, LEFT, RIGHT = 960.0, 190.0, 12.0
COLUMNS, TOP, LANE, GAP = 96, 78.0, 34.0, 8.0
LANES = 10  # functions shown; the others share one lane
ROWS = 7  # heights inside a lane
#: From the axis upwards.
STATES = ("fail", "error", "timeout", "suspicious", "pass")
OTHERS = "other functions"


@dataclass(frozen=True)
class VerdictBar:
    x: float
    y: float
    width: float
    height: float
    state: str


@dataclass(frozen=True)
class VerdictMark:
    """One verdict, or `count` that fell together."""

    x: float
    y: float
    state: str
    count: int
    title: str

    @property
    def strength(self) -> float:
        """Opacity."""
        return round(min(1.0, 0.3 + 0.12 * self.count), 2)


@dataclass(frozen=True)
class FunctionLane:
    name: str
    where: str
    y: float
    tried: int


@dataclass(frozen=True)
class SearchChart:
    seconds: float
    height: float
    most: int  # verdicts in the highest column
    bars: list[VerdictBar] = field(default_factory=list)
    marks: list[VerdictMark] = field(default_factory=list)
    lanes: list[FunctionLane] = field(default_factory=list)
    ticks: list[tuple[float, str]] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    width: float = WIDTH
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    lane: float = LANE

    @property
    def column(self) -> float:
        """Seconds that one column stands for."""
        return self.seconds / COLUMNS

    @property
    def words(self) -> str:
        """The picture for those who do not see it."""
        said = ", ".join(f"{count:,} {state}" for state, count in self.states.items())
        where = "; ".join(f"{lane.tried:,} in {lane.name}" for lane in self.lanes)
        return f"Verdicts over {self.seconds:.0f} s: {said}. Candidates: {where}."


def chart_of(
    tried: Sequence[TriedRow], places: Sequence[PlaceRow], began: float
) -> SearchChart | None:
    """None where nothing was tried, or the log is of an older version that kept no times."""
    shown = [row for row in tried if row.at is not None and row.stage != "confirm"]
    if not shown:
        return None
    seconds = max(1.0, *((row.at or began) - began for row in shown))
    names = [(place.path, place.qualname) for place in places]
    counts = Counter((row.path or "", row.qualname or "") for row in shown)
    known = [name for name in names if counts[name]]
    kept = sorted(known, key=lambda name: -counts[name])[:LANES]
    order = [name for name in names if name in kept]
    left_over = sum(count for name, count in counts.items() if name not in order)
    lanes = [
        FunctionLane(name[1], name[0], TOP + GAP + row * (LANE + GAP), counts[name])
        for row, name in enumerate(order)
    ]
    if left_over:
        y = TOP + GAP + len(lanes) * (LANE + GAP)
        lanes.append(FunctionLane(OTHERS, "", y, left_over))
    heights = {name: lane.y for name, lane in zip(order, lanes, strict=False)}
    height = TOP + GAP + len(lanes) * (LANE + GAP) + 26
    bars, most = _bars(shown, began, seconds)
    states = Counter(row.state for row in shown)
    return SearchChart(
        seconds, height, most, bars,
        _marks(shown, places, heights, lanes[-1].y, began, seconds), lanes, _ticks(seconds),
        {state: states[state] for state in (*reversed(STATES), "infra") if states[state]},
    )  # fmt: skip


def _x(second: float, seconds: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, second / seconds)), 1)


def _bars(shown: Sequence[TriedRow], began: float, seconds: float) -> tuple[list[VerdictBar], int]:
    columns: dict[int, Counter[str]] = defaultdict(Counter)
    for row in shown:
        share = ((row.at or began) - began) / seconds
        columns[min(COLUMNS - 1, int(share * COLUMNS))][row.state] += 1
    most = max(sum(column.values()) for column in columns.values())
    width = round((WIDTH - LEFT - RIGHT) / COLUMNS - 1, 2)
    bars = []
    for column, counts in sorted(columns.items()):
        y, x = TOP, _x(column * seconds / COLUMNS, seconds)
        for state in STATES:
            if counts[state]:
                tall = max(1.5, (TOP - 14) * counts[state] / most)
                y -= tall
                bars.append(VerdictBar(x, round(y, 1), width, round(tall, 1), state))
    return bars, most


def _marks(
    shown: Sequence[TriedRow],
    places: Sequence[PlaceRow],
    heights: dict[tuple[str, str], float],
    rest: float,
    began: float,
    seconds: float,
) -> list[VerdictMark]:
    """Verdicts that fall on the same spot are one mark; those that pass are drawn last."""
    of = {(place.path, place.qualname): place for place in places}
    spots: dict[tuple[float, float, str], list[str]] = defaultdict(list)
    for row in shown:
        name = (row.path or "", row.qualname or "")
        place = of.get(name)
        share, line = _height(row, place)
        y = heights.get(name, rest) + 4 + round(share * (ROWS - 1)) * (LANE - 8) / (ROWS - 1)
        x = _x(round((row.at or began) - began, 1), seconds)
        x = round(LEFT + int((x - LEFT) / 4) * 4 + 2, 1)
        spots[x, round(y, 1), row.state].append(
            f"{row.kind or 'edits together'}, line {line}" if line else row.kind or "edits together"
        )
    marks = []
    for (x, y, state), said in spots.items():
        more = f" ({len(said)})" if len(said) > 1 else ""
        marks.append(VerdictMark(x, y, state, len(said), f"{said[0]}: {state}{more}"))
    return sorted(marks, key=lambda mark: STATES.index(mark.state) if mark.state in STATES else 0)


def _height(row: TriedRow, place: PlaceRow | None) -> tuple[float, int]:
    """How far down in its function a hole lies, in [0, 1], and its line; 0 where unknown."""
    if place is None or row.start is None or not place.source:
        return 0.5, 0
    inside = place.source.count("\n", 0, max(0, row.start - place.start))
    lines = max(1, place.last_line - place.first_line)
    return min(1.0, inside / lines), place.first_line + inside


def _ticks(seconds: float) -> list[tuple[float, str]]:
    step = next((s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if seconds / s <= 9), 1200)
    return [(_x(at, seconds), f"{at} s") for at in range(0, int(seconds) + 1, step)]
