"""Where the page can be opened: addresses for this machine and for a phone, and their QR code."""

from __future__ import annotations

import io
import socket
from ipaddress import ip_address

import psutil
import segno

_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - names of all addresses, nothing listens here


def page_address(host: str, port: int, token: str) -> str:
    """Return the address that opens the page; of a host that is all addresses, one of the net's."""
    name = (lan_address() or "127.0.0.1") if host in _EVERYWHERE else host
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}" + (f"/?access_token={token}" if token else "")


def lan_address() -> str | None:
    """Return the address by which others in the net reach this machine; None without one.

    Private ones of cables and wireless first, as phones have them.
    """
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = [
        ip_address(address.address)
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if name in up and address.family == socket.AF_INET
    ]
    usable = [one for one in found if not (one.is_loopback or one.is_link_local)]
    return str(min(usable, key=lambda one: (not one.is_private, one.packed))) if usable else None


def qr_code(address: str, encoding: str | None) -> str:
    """Return the QR code of an address for a terminal; empty where its encoding has no blocks."""
    buffer = io.StringIO()
    segno.make(address, error="l", micro=False).terminal(buffer, compact=True, border=2)
    code = buffer.getvalue()
    try:
        code.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ""
    return code
