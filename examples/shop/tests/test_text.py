import pytest

from shop.text import columns, money, split_long, title_case, wrap


def test_split_long():
    assert split_long("abcdefgh", 3) == ["abc", "def", "gh"]


def test_wrap_short_text_is_one_line():
    assert wrap("thank you", 20) == ["thank you"]


def test_wrap_breaks_between_words():
    assert wrap("thank you for your order", 10) == ["thank you", "for your", "order"]


def test_wrap_fills_a_line_to_the_last_column():
    assert wrap("paid in cash", 7) == ["paid in", "cash"]


@pytest.mark.parametrize("width", [7, 11])
def test_wrap_never_exceeds_the_width(width):
    text = "two pens and one pad of fine grey paper"
    assert all(len(line) <= width for line in wrap(text, width))
    assert " ".join(wrap(text, width)) == text


def test_wrap_cuts_long_words():
    assert wrap("order 1234567890", 6) == ["order", "123456", "7890"]


def test_wrap_refuses_a_width_of_zero():
    with pytest.raises(ValueError, match="width"):
        wrap("x", 0)


def test_columns():
    assert columns("ink", "4.50", 12, ".") == "ink.....4.50"
    assert columns("a long name", "4.50", 12) == "a long  4.50"


def test_money():
    assert money(1234567) == "12,345.67"
    assert money(5) == "0.05"


def test_money_of_a_refund():
    assert money(-5) == "-0.05"
    assert money(-123456) == "-1,234.56"


def test_title_case():
    assert title_case("the ART of letters AND ink") == "The Art of Letters and Ink"
