"""The fields of a line of kospi_code.mst and kosdaq_code.mst, in their order, with their widths.

A line is head and tail. The head has short code, standard code and Korean name; the tail, which is
counted from the line's end, the fields below (docs/kis.md#stock-master-files).
"""

from __future__ import annotations

from dataclasses import dataclass

MARKETS = ("KOSPI", "KOSDAQ")
CODE_BYTES, STANDARD_BYTES = 9, 12
NAME_BYTES = 40  # as KIS pads it; a reader takes whatever is between head and tail

_SECTORS = "group:2 size:1 sector_large:4 sector_medium:4 sector_small:4"
_TRADING = (
    "base_price:9 lot:5 lot_after_hours:5 halted:1 liquidating:1 managed:1 warning:2"
    " warning_ahead:1 unfaithful:1 back_door:1 ex_rights:2 par_change:2 capital_increase:2"
    " margin_rate:3 credit:1 credit_days:3 volume_before:12 par:12 listed_from:8"
    " shares:15 capital:21 closing_month:2 offer_price:7 preferred:1 short_overheated:1 surge:1"
)
_ACCOUNTS = (
    "sales:9 operating_profit:9 ordinary_profit:9 net_profit:5 return_on_equity:9"
    " accounts_as_of:8 market_value:9 company_group:3 credit_used_up:1 loan:1 lending:1"
)
_KOSPI = (
    f"{_SECTORS} manufacturing:1 illiquid:1 governance:1 kospi200_sector:1 kospi100:1 kospi50:1"
    " krx:1 etp:1 elw_issued:1 krx100:1 krx_cars:1 krx_chips:1 krx_bio:1 krx_banks:1 spac:1"
    " krx_energy:1 krx_steel:1 overheated:1 krx_media:1 krx_building:1 unused:1 krx_brokers:1"
    f" krx_ships:1 krx_insurance:1 krx_transport:1 sri:1 {_TRADING} krx300:1 kospi:1 {_ACCOUNTS}"
)
_KOSDAQ = (
    f"{_SECTORS} venture:1 illiquid:1 krx:1 etp:1 krx100:1 krx_cars:1 krx_chips:1 krx_bio:1"
    " krx_banks:1 spac:1 krx_energy:1 krx_steel:1 overheated:1 krx_media:1 krx_building:1"
    " caution:1 krx_brokers:1 krx_ships:1 krx_insurance:1 krx_transport:1 kosdaq150:1"
    f" {_TRADING} krx300:1 {_ACCOUNTS}"
)


@dataclass(frozen=True)
class StockLayout:
    """The tail of a market's lines: name and width of each field, in bytes."""

    widths: dict[str, int]

    @property
    def tail(self) -> int:
        """The bytes of the whole tail."""
        return sum(self.widths.values())

    def offset(self, field: str) -> int:
        """Return where the field begins, from the tail's first byte."""
        names = list(self.widths)
        return sum(self.widths[name] for name in names[: names.index(field)])


def _layout(text: str) -> StockLayout:
    return StockLayout({name: int(width) for name, width in (f.split(":") for f in text.split())})


LAYOUTS = {"KOSPI": _layout(_KOSPI), "KOSDAQ": _layout(_KOSDAQ)}
# The index that a field says a share belongs to; neither 0, N nor blank is a member.
MEMBERSHIP = {"KOSPI": ("kospi200_sector", "KOSPI200"), "KOSDAQ": ("kosdaq150", "KOSDAQ150")}


def stock_master_url(master_url: str, market: str) -> str:
    """Return the address of the master file of KOSPI or KOSDAQ, beside that of derivatives."""
    return f"{master_url.rsplit('/', 1)[0]}/{market.lower()}_code.mst.zip"
