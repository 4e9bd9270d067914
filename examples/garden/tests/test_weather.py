from garden.weather import dry_days, longest_drought, running_totals


def test_no_days():
    assert dry_days([]) == 0
    assert longest_drought([]) == 0


def test_totals_come_one_by_one():
    totals = running_totals([2, 5])
    assert next(totals) == 2
    assert next(totals) == 7
