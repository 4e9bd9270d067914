"""Date ranges for bookings, sales and deliveries. Both ends belong to a range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

SATURDAY = 5


@dataclass(frozen=True)
class DateRange:
    """The days from `start` to `end`, both included."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError("a range must not end before it starts")

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def __iter__(self) -> Iterator[date]:
        day = self.start
        while day <= self.end:
            yield day
            day += timedelta(days=1)

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end

    def overlaps(self, other: DateRange) -> bool:
        """Whether the two share at least one day."""
        return self.start <= other.end and other.start <= self.end

    def intersection(self, other: DateRange) -> DateRange | None:
        """The days that belong to both, or None."""
        if not self.overlaps(other):
            return None
        return DateRange(max(self.start, other.start), min(self.end, self.end))

    def workdays(self) -> int:
        """How many days from Monday to Friday are in the range."""
        return sum(1 for day in self if day.weekday() < SATURDAY)


def merge(ranges: list[DateRange]) -> list[DateRange]:
    """The same days in as few ranges as possible, sorted; touching ranges become one."""
    merged: list[DateRange] = []
    for current in sorted(ranges, key=lambda r: r.start):
        if merged and current.start <= merged[-1].end + timedelta(days=1):
            last = merged.pop()
            current = DateRange(last.start, max(last.end, current.end))
        merged.append(current)
    return merged


def delivery_day(ordered: date, working_days: int) -> date:
    """The day on which an order arrives: that many working days after it was placed."""
    day = ordered
    while working_days > 0:
        day += timedelta(days=1)
        if day.weekday() < SATURDAY:
            working_days -= 1
    return day
