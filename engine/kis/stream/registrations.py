"""What is registered with KIS, and how several app keys share it.

A connection takes 41 registrations, all TRs together (docs/kis.md#connection). KIS blocks a client
that registers and removes in a loop: so what is registered stays where it is, and a registration
gives way only to one that is clearly more wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

MOST = 41  # of a connection, until KIS refuses one (OPSP0008)
NOT_REGISTERED = "a symbol that nobody registered"  # reason to reject a record


@dataclass(frozen=True, order=True)
class StreamRegistration:
    """One TR of one symbol."""

    tr_id: str
    tr_key: str

    def __str__(self) -> str:
        return f"{self.tr_id} {self.tr_key}"


@dataclass(frozen=True)
class Wish:
    """A registration that is wanted; the smaller `priority` is, the more."""

    registration: StreamRegistration
    priority: float = 0.0


def share(
    wishes: Sequence[Wish],
    limits: Sequence[int],
    present: Sequence[Collection[StreamRegistration]] = (),
    hysteresis: float = 0.0,
) -> list[list[StreamRegistration]]:
    """Return the registrations of each app key, those most wanted first.

    `limits` are how many each key takes, `present` is what each has now. What is present stays with
    its key, and its priority counts as smaller by `hysteresis`: with the distance from ATM as
    priority, options change only when ATM has moved by more than that. What finds no room is left
    out.
    """
    home = {one: key for key, held in enumerate(present[: len(limits)]) for one in held}
    wanted: dict[StreamRegistration, float] = {}
    for wish in wishes:
        known = wanted.get(wish.registration, wish.priority)
        wanted[wish.registration] = min(known, wish.priority)
    ranked = sorted(wanted, key=lambda one: wanted[one] - hysteresis * (one in home))
    chosen = ranked[: sum(limits)]
    shares: list[list[StreamRegistration]] = [[] for _ in limits]
    # First those that a key has now, so that no other takes their place.
    for one in sorted(chosen, key=lambda one: one not in home):
        key = home.get(one, -1)
        if key < 0 or len(shares[key]) >= limits[key]:
            key = max(range(len(limits)), key=lambda n: limits[n] - len(shares[n]))
        shares[key].append(one)
    order = {one: place for place, one in enumerate(ranked)}
    return [sorted(part, key=order.__getitem__) for part in shares]
