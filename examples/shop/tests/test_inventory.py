import pytest

from shop.inventory import Inventory, Item, OutOfStock


@pytest.fixture
def stock():
    inventory = Inventory()
    inventory.add(Item("PEN", "ball pen", 120, on_hand=10))
    inventory.add(Item("INK", "ink", 450, on_hand=3))
    inventory.add(Item("PAD", "note pad", 300, on_hand=40, reserved=38))
    return inventory


def test_add_refuses_duplicates(stock):
    with pytest.raises(ValueError, match="duplicate"):
        stock.add(Item("PEN", "another pen", 99))


def test_receive_adds_to_stock(stock):
    assert stock.receive("INK", 4) == 7
    with pytest.raises(ValueError, match="positive"):
        stock.receive("INK", 0)


def test_reserve_part_of_the_stock(stock):
    stock.reserve("PEN", 4)
    assert stock.items["PEN"].available == 6


def test_reserve_everything_that_is_left(stock):
    stock.reserve("PAD", 2)
    assert stock.items["PAD"].available == 0


def test_reserve_more_than_available(stock):
    with pytest.raises(OutOfStock, match="4 wanted, 3 available"):
        stock.reserve("INK", 4)
    assert stock.items["INK"].reserved == 0


def test_reserve_and_ship_the_last_ones(stock):
    stock.reserve("INK", 3)
    stock.ship("INK", 3)
    assert stock.items["INK"].on_hand == 0


def test_release(stock):
    stock.release("PAD", 8)
    assert stock.items["PAD"].available == 10
    with pytest.raises(ValueError, match="release"):
        stock.release("PAD", 31)


def test_to_reorder_names_the_scarcest_first(stock):
    assert stock.to_reorder() == ["PAD", "INK"]


def test_stock_value(stock):
    assert stock.stock_value() == 10 * 120 + 3 * 450 + 40 * 300
