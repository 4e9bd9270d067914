from datetime import date

import pytest

from shop.dates import DateRange, delivery_day, merge


def november(first, last):
    return DateRange(date(2024, 11, first), date(2024, 11, last))


def test_length_counts_both_ends():
    assert len(november(1, 1)) == 1
    assert len(november(1, 30)) == 30


def test_iteration_and_membership():
    days = november(29, 30)
    assert [day.day for day in days] == [29, 30]
    assert date(2024, 11, 30) in days
    assert date(2024, 12, 1) not in days


def test_range_must_not_end_before_it_starts():
    with pytest.raises(ValueError, match="before"):
        november(2, 1)


def test_overlap():
    assert november(1, 10).overlaps(november(10, 20))
    assert not november(1, 9).overlaps(november(10, 20))


def test_intersection_of_separate_ranges_is_none():
    assert november(1, 5).intersection(november(6, 9)) is None


def test_intersection_when_the_first_ends_first():
    assert november(1, 10).intersection(november(8, 20)) == november(8, 10)


def test_intersection_when_the_second_ends_first():
    assert november(5, 20).intersection(november(1, 8)) == november(5, 8)
    assert november(1, 30).intersection(november(10, 12)) == november(10, 12)


def test_workdays():
    assert november(4, 10).workdays() == 5
    assert november(9, 10).workdays() == 0


def test_merge_joins_overlapping_and_touching_ranges():
    assert merge([november(7, 9), november(1, 3), november(4, 5)]) == [november(1, 5), november(7, 9)]
    assert merge([november(1, 20), november(2, 3)]) == [november(1, 20)]


def test_delivery_skips_the_weekend():
    assert delivery_day(date(2024, 11, 7), 2) == date(2024, 11, 11)
