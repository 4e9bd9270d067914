import pytest

from ledger.book import Book


@pytest.fixture
def book():
    book = Book()
    book.add(1, "ann", "bob", 500)
    book.add(2, "bob", "cy", 200)
    book.add(4, "cy", "ann", 50)
    return book


def test_balance(book):
    assert book.balance("ann") == -450
    assert book.balance("bob") == 300


def test_balance_until(book):
    assert book.balance("bob", until=1) == 500
    assert book.balance("cy", until=3) == 200


def test_balances_cancel_out(book):
    assert sum(book.balance(name) for name in book.accounts) == 0


def test_history(book):
    assert book.history("cy") == [(2, 200), (4, 150)]


def test_settle(book):
    assert book.settle() == [("bob", "ann", 300), ("cy", "ann", 150)]


@pytest.mark.parametrize("amount", [0, -5])
def test_add_rejects(book, amount):
    with pytest.raises(ValueError, match="positive"):
        book.add(1, "ann", "bob", amount)


def test_entry_text(book):
    assert str(book.entries[0]) == "1: ann -> bob 5.00"
