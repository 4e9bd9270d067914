from ledger.book import Book
from ledger.report import histogram, median, running, statement
from ledger.text import table, wrap


def test_wrap():
    assert wrap("the quick brown fox jumps", 10) == ["the quick", "brown fox", "jumps"]


def test_wrap_exact():
    assert wrap("ab cd ef", 5) == ["ab cd", "ef"]
    assert wrap("", 5) == []


def test_wrap_long_word():
    assert wrap("a extraordinary b", 6) == ["a", "extraordinary", "b"]


def test_table():
    assert table([("a", "10"), ("bcd", "2")]) == "a    10\nbcd   2"


def test_histogram():
    assert histogram([1, 2, 11, 35], 10) == [(0, 2), (10, 1), (20, 0), (30, 1)]
    assert histogram([], 5) == []


def test_running_and_median():
    assert list(running([1, 2, 3])) == [1, 3, 6]
    assert median([5, 1, 3]) == 3
    assert median([4, 1, 3, 2]) == 2.5


def test_statement(tmp_path):
    book = Book()
    book.add(1, "ann", "bob", 1250)
    path = tmp_path / "statement.txt"
    path.write_text(statement(book))
    assert path.read_text().splitlines()[1:] == ["ann       -12.50", "bob        12.50"]
