"""Names of stocks are those of the listings; without them the code stands for itself."""

from __future__ import annotations

from engine.market import names
from engine.market.symbols import parse


def test_a_stock_is_named_as_it_is_listed() -> None:
    assert (parse("005930").name_ko, parse("005930").name_en) == ("주식 005930", "stock 005930")
    names.learn_stocks({"005930": "삼성전자", "123450": "종목123450"})
    assert parse("005930").name_ko == "삼성전자 005930"
    assert parse("005930").name_en == "Samsung Electronics 005930"
    assert parse("005930_NX").name_en == "Samsung Electronics 005930, Nextrade"
    assert parse("123450").name_en == "종목123450 123450"
    assert parse("000660").name_ko == "주식 000660"
    assert names.listed_letters() == "".join(sorted(set("삼성전자종목123450")))


def test_a_name_follows_the_listing_and_not_the_code() -> None:
    """The English of a company does not stay with a code that another one has by now."""
    names.learn_stocks({"005930": "카카오"})
    assert parse("005930").name_en == "Kakao 005930"
