"""The lies of a KIS that lies, by kind, and what the collector must say to each."""

from __future__ import annotations

import gzip
import zlib

import orjson

from tests.bombs import bomb
from tests.hostile.hostile_kis import http
from tests.hostile.replies import (
    PRICES,
    Lie,
    body,
    dated,
    doubled_keys,
    drip,
    each_row,
    echo,
    flood,
    head,
    in_code,
    in_words,
    lists_of,
    moved,
    nested,
    numbers,
    other_date,
    raw,
    redirect,
    refusal,
    rows,
    shuffled,
    then_close,
    to_come,
    twice,
    values,
    whole_list,
)

NO_JSON, NO_OBJECT = "text that is not JSON", "JSON that is not an object"
LOST = "the connection to KIS failed|gave no answer"
UNREADABLE = "cannot be read|unreadable value"
CLOCK = "bear no date|clock is"
NO_ROW = "^$"  # nothing is said: a minute without a row is for the ledger
HTML = b"<html><body>\xec\x84\x9c\xeb\xb9\x84\xec\x8a\xa4 \xec\xa0\x90\xea\xb2\x80</body></html>"

ANSWERS = [
    Lie("HTML with HTTP 200", raw(lambda _: HTML, content="text/html"), NO_JSON),
    Lie("an empty body", raw(lambda _: b""), "an empty body"),
    Lie("blanks", raw(lambda _: b" \r\n" * 99), "an empty body"),
    Lie("the truth as text/html", raw(lambda true: true, content="text/html")),
    Lie("the truth as an image", raw(lambda true: true, content="image/png; charset=cp949")),
    Lie("cp949", raw(lambda true: true.decode().encode("cp949")), NO_JSON),
    Lie("UTF-16", raw(lambda true: true.decode().encode("utf-16")), NO_JSON),
    Lie("a byte order mark", raw(lambda true: b"\xef\xbb\xbf" + true), NO_JSON),
    Lie("cut JSON", raw(lambda true: true[: len(true) // 2]), NO_JSON),
    Lie("two documents", raw(lambda true: true + true), NO_JSON),
    Lie("something behind", raw(lambda true: true + b"<!-- -->"), NO_JSON),
    Lie("nested lists", raw(nested), NO_JSON),
    Lie("NaN", raw(lambda true: true.replace(b'"100"', b"NaN").replace(b'"1', b'NaN,"1')), NO_JSON),
    Lie("a NUL", raw(lambda true: b"\0" + true), NO_JSON),
    Lie("lone surrogates", raw(lambda true: true.replace(b'"0"', b'"\\ud800"')), NO_JSON),
    Lie("keys twice", raw(doubled_keys)),
    Lie("a list", body(lambda found: [found]), NO_OBJECT),
    Lie("a text", body(lambda _: "fine"), NO_OBJECT),
    Lie("null", body(lambda _: None), NO_OBJECT),
    Lie("a number", raw(lambda _: b"1e400"), f"{NO_OBJECT}|{NO_JSON}"),
    Lie(
        "no rt_cd", body(lambda found: {k: v for k, v in found.items() if k != "rt_cd"}), "refused"
    ),
    Lie("rt_cd as a number", body(lambda found: found | {"rt_cd": 0})),
    Lie("rt_cd 00", body(lambda found: found | {"rt_cd": "00"}), "refused"),
    Lie("rt_cd as a list", body(lambda found: found | {"rt_cd": ["0"]}), "refused"),
    Lie("rt_cd null", body(lambda found: found | {"rt_cd": None}), "refused"),
    Lie("an object without a name", raw(lambda _: b"{}"), "refused"),
    Lie("10,000 rows", rows(lambda found, _: found * 500), "rows, more than any answer"),
    Lie("12 MB", raw(lambda true: true[:-1] + b',"x":"' + b"x" * (12 << 20) + b'"}'), "MB"),
]
PACKED = [
    Lie("a bomb", raw(lambda _: bomb()), NO_JSON),
    Lie("a bomb that says so", lambda a: http(bomb(), dated(a), "Content-Encoding: gzip"), "MB"),
    Lie(
        "packed three times",
        lambda a: http(bomb(), dated(a), "Content-Encoding: gzip, gzip, gzip"),
        "packed in a way",
    ),
    Lie(
        "deflate",
        lambda a: http(zlib.compress(b"{}"), dated(a), "Content-Encoding: deflate"),
        "packed in a way",
    ),
    Lie(
        "gzip, cut",
        lambda a: http(gzip.compress(orjson.dumps(a.honest))[:-9], "Content-Encoding: gzip"),
        "cannot be unpacked",
    ),
    Lie("a body that is not gzip", head("Content-Encoding: gzip"), "cannot be unpacked"),
    Lie(
        "gzip",
        lambda a: http(gzip.compress(orjson.dumps(a.honest)), dated(a), "Content-Encoding: gzip"),
    ),
]
CONNECTIONS = [
    Lie("closed at once", then_close(lambda _: b""), LOST),
    Lie("reset", then_close(lambda _: b"HTTP/1.1 200 OK\r\n", reset=True), LOST),
    Lie("a body too short", then_close(lambda a: http(b'{"rt_cd"', length=100)), LOST),
    Lie("no HTTP", then_close(lambda _: b"\x15\x03\x01\x00\x02\x02\x46"), LOST),
    Lie("no number as status", then_close(lambda a: http(b"{}", status="OK")), LOST),
    Lie(
        "a head without end",
        flood(b"X-More: " + b"x" * 4000 + b"\r\n", b"HTTP/1.1 200 OK\r\n"),
        LOST,
    ),
    Lie("a body without end", flood(b" " * (1 << 20), b"HTTP/1.1 200 OK\r\n\r\n"), "MB"),
    Lie("a head in drops", drip(b"HTTP/1.1 200 OK\r\nX-Slow:"), "no answer within"),
    Lie(
        "a body in drops",
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{"),
        "no answer within",
    ),
    Lie("a negative length", then_close(lambda a: http(b"{}", length=-1)), LOST),
]
STATUS = [
    *(
        Lie(f"{status[:3]} to another host", redirect(status), "HTTP 30")
        for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")
    ),
    Lie("302 to itself", redirect("302 Found", "/uapi"), "HTTP 302"),
    Lie("204", then_close(lambda a: b"HTTP/1.1 204 No Content\r\n\r\n"), "an empty body"),
    Lie("304", then_close(lambda a: b"HTTP/1.1 304 Not Modified\r\n\r\n"), "an empty body"),
    Lie("404 in HTML", raw(lambda _: HTML, status="404 Not Found"), NO_JSON),
    Lie("401 in HTML", raw(lambda _: HTML, status="401 Unauthorized"), NO_JSON),
    Lie("200 as 500", raw(lambda true: true, status="500 Error"), "HTTP 500"),
    Lie("status 999", raw(lambda true: true, status="999 What"), "HTTP 999|failed"),
    *(
        Lie(
            f"{status} and Retry-After {after}",
            refusal("", "busy", f"Retry-After: {after}", status=status),
            told,
        )
        for status, told in (("429 Too Many", "busy"), ("503 Away", "busy"))
        for after in ("999999999", "-1", "Fri, 31 Dec 9999 23:59:59 GMT", "soon")
    ),
    Lie("too fast", refusal("EGW00201", "초당 거래건수를 초과하였습니다."), NO_ROW),
    Lie("tokens that it gave", refusal("EGW00123", "기간이 만료된 token 입니다."), "token"),
    Lie("no right", refusal("EGW00206", "권한이 없습니다.", status="403 No"), "권한"),
    Lie("maintenance", refusal("EGW00001", "점검 중입니다."), "점검"),
    Lie("an unknown code", refusal("ZZZZ9999", "무엇", status="200 OK"), "무엇"),
]
HEADS = [
    Lie("tr_cont M for ever", head("tr_cont: M", "gt_uid: x", "tr_id: H0STCNT0")),
    Lie("cookies", head("Set-Cookie: evil=1; Domain=127.0.0.1", "Set-Cookie: __Host-x=2")),
    Lie("two types", head("Content-Type: text/html", "content-type: application/xml")),
    Lie("Latin in the head", head(b"X-\xff\xfe: \xe9"), LOST),
    Lie("a NUL in the head", head("X-Nul: a\0b"), LOST),
    Lie("a new line in the head", head("X-Inject: a\r\nSet-Cookie: evil=2\r\nX-B: c")),
    Lie("hop by hop", head("Upgrade: h2c", 'Alt-Svc: h3=":443"', "Link: </x>; rel=preload")),
]
# What they say is believed, but the clocks do not agree any more.
DATES = [
    Lie("no date", other_date(None), CLOCK),
    Lie("the end of time", other_date("Fri, 31 Dec 9999 23:59:59 GMT"), CLOCK),
    Lie("1970", other_date("Thu, 01 Jan 1970 00:00:00 GMT"), CLOCK),
    Lie("six hours later", other_date("Tue, 04 Nov 2025 11:00:00 GMT"), CLOCK),
    Lie("no text as date", other_date(b"\xff\xfe"), CLOCK),
]
WORDS = [
    Lie("the key in words", in_words, "x{190}"),
    Lie("the key as code", in_code, "refused"),
    Lie("colours", refusal("OPSQ1", "\x1b[2J\x1b]0;evil\x07\u202e", status="200 OK"), "x1b"),
    Lie("a line in words", refusal("OPSQ1", "a\r\n2025 ERROR forged", status="200 OK"), "forged"),
    Lie("a megabyte of words", refusal("OPSQ1", "가" * (1 << 20), status="200 OK"), "가"),
    Lie("words as an object", body(lambda _: {"rt_cd": "1", "msg1": {"a": [1]}}), "refused"),
]
LISTS = [
    Lie("no rows", whole_list([]), NO_ROW),
    Lie("rows as null", whole_list(None), NO_ROW),
    Lie("rows as a text", whole_list("rows"), NO_ROW),
    Lie("rows as an object", whole_list({"0": {"a": 1}}), NO_ROW),
    Lie("rows as a number", whole_list(1), NO_ROW),
    Lie(
        "no list at all",
        body(lambda found: {k: v for k, v in found.items() if k not in lists_of(found)}),
        NO_ROW,
    ),
    Lie("null for each row", each_row(lambda _: None), "cannot be read"),
    Lie("a text for each row", each_row(lambda _: "row"), "cannot be read"),
    Lie("a list for each row", each_row(lambda one: list(one.values())), "cannot be read"),
    Lie("empty objects", each_row(lambda _: {}), "cannot be read"),
    Lie("a thousand more fields", each_row(lambda one: one | {f"x{n}": "1" for n in range(300)})),
]
ROWS = [
    Lie("numbers, no text", numbers(lambda v: float(v) if "." in v else int(v))),
    Lie("blanks around", numbers(lambda v: f"  {v}\t")),
    Lie("zeros in front", numbers(lambda v: f"000{v}")),
    Lie("a plus", numbers(lambda v: f"+{v}")),
    Lie("out of order", rows(shuffled)),
    Lie("ascending", rows(lambda found, _: found[::-1])),
    Lie("each twice", rows(twice), "another row of the same minute"),
    Lie("the future", rows(to_come)),
    Lie("NaN as text", numbers(lambda _: "NaN"), UNREADABLE),
    Lie("Infinity as text", numbers(lambda _: "Infinity"), UNREADABLE),
    Lie("commas", numbers(lambda v: f"{v[:-2]},{v[-2:]}"), UNREADABLE),
    Lie("two points", numbers(lambda v: f"{v}.0.0"), UNREADABLE),
    Lie("exponents", numbers(lambda v: f"{v}e0"), UNREADABLE),
    Lie("full width", numbers(lambda v: "".join(chr(ord(c) + 0xFEE0) for c in v)), UNREADABLE),
    Lie("hexadecimal", numbers(lambda v: f"0x{v}"), UNREADABLE),
    Lie("true", numbers(lambda _: True), UNREADABLE),
    Lie("null", numbers(lambda _: None), UNREADABLE),
    Lie("objects", numbers(lambda v: {"value": v}), UNREADABLE),
    Lie("too large", numbers(lambda _: 10**19 - 1), UNREADABLE),
    Lie("a million digits", numbers(lambda _: "9" * 400), UNREADABLE),
    Lie("colours in numbers", numbers(lambda v: f"\x1b[31m{v}\x1b[0m"), UNREADABLE),
    Lie("SQL in numbers", numbers(lambda v: f"{v}'); DROP TABLE gaps; --"), UNREADABLE),
    Lie("NUL in numbers", numbers(lambda v: f"{v}\0"), UNREADABLE),
    Lie("volumes below zero", values(["cntg_vol"], lambda v: f"-{v}"), "volume below zero"),
    Lie("fractions of volumes", values(["cntg_vol"], lambda v: f"{v}.5"), "volume cannot be read"),
    Lie("prices below zero", values(PRICES, lambda v: f"-{v}"), "price not above zero"),
    Lie("prices of zero", values(PRICES, lambda _: "0"), "price not above zero"),
    Lie("a high below", values(["stck_hgpr", "futs_hgpr"], lambda _: "0.01"), "open, high, low"),
    Lie("a year ago", moved(-365), NO_ROW),
    Lie("yesterday", moved(-1), NO_ROW),
    Lie("tomorrow", moved(1), "another date"),
    Lie("the 31st of June", values(["stck_bsop_date"], lambda _: "20250631"), NO_ROW),
    Lie(
        "no date at all", values(["stck_bsop_date"], lambda _: "2025-11-04"), "date cannot be read"
    ),
    Lie("minute 61", values(["stck_cntg_hour"], lambda v: v[:2] + "6100"), "time cannot be read"),
    Lie("hour 31", values(["stck_cntg_hour"], lambda v: "31" + v[2:]), "time cannot be read"),
    Lie("half minutes", values(["stck_cntg_hour"], lambda v: v[:4] + "30"), "not a full minute"),
    Lie("at night", values(["stck_cntg_hour"], lambda v: "03" + v[2:]), "outside the session"),
    Lie(
        "the key in each row",
        rows(lambda found, a: [one | {"cntg_vol": echo(a)} for one in found]),
        UNREADABLE,
    ),
]
_ALL = [*ANSWERS, *PACKED, *CONNECTIONS, *STATUS, *HEADS, *DATES, *WORDS, *LISTS, *ROWS]
BELIEVED = [lie for lie in _ALL if lie.told == ""]
REFUSED = [lie for lie in _ALL if lie.told and lie not in DATES]
