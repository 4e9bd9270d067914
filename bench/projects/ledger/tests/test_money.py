import pytest

from ledger.money import convert, parse, show, split


@pytest.mark.parametrize(
    ("text", "cents"),
    [("12.34", 1234), ("-3", -300), ("1,250.5", 125050), ("+0.05", 5)],
)
def test_parse(text, cents):
    assert parse(text) == cents


def test_parse_rejects():
    with pytest.raises(ValueError, match="not an amount"):
        parse("a dozen")


def test_show():
    assert show(-123456) == "-1,234.56"


def test_split():
    assert split(100, 3) == [34, 33, 33]
    assert split(101, 3) == [34, 34, 33]


def test_split_even():
    assert split(90, 3) == [30, 30, 30]
    assert sum(split(12345, 7)) == 12345


def test_split_nobody():
    with pytest.raises(ValueError, match="nobody"):
        split(10, 0)


def test_convert():
    assert convert(1000, 1.1) == 1100
