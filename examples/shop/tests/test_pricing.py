from shop.pricing import (
    Line,
    discount_percent,
    included_tax,
    line_total,
    order_total,
    shipping,
    split_evenly,
)


def test_discount_percent():
    assert [discount_percent(n) for n in (1, 9, 10, 49, 50, 500)] == [0, 0, 5, 5, 10, 20]


def test_line_total_rounds_half_up():
    assert line_total(Line("ball pen", 99, 10)) == 941


def test_shipping_is_free_for_large_orders():
    assert shipping(4999) == 490
    assert shipping(5000) == 0
    assert shipping(0) == 0


def test_order_total():
    assert order_total([Line("ink", 450, 2), Line("note pad", 300, 1)]) == 1690
    assert order_total([]) == 0


def test_included_tax():
    assert included_tax(1200) == 200


def test_split_evenly():
    assert split_evenly(1000, 3) == [334, 333, 333]
    assert sum(split_evenly(999, 7)) == 999
