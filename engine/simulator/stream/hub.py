"""What all connections of the feed share: clock, frames, limits, and whose the app keys are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from engine.clock import Clock
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.faults.injector import FaultInjector
from engine.simulator.stream.frames import FrameWriter
from engine.simulator.stream.requests import Registration
from engine.simulator.tokens import Admission


@dataclass(frozen=True)
class Limits:
    """How much KIS allows, and how patient it is."""

    registrations: int = 41
    ping_every: float = 10.0  # seconds
    echo_within: float = 100.0  # seconds
    unsent_bytes: int = 8 << 20  # of a client that does not read


class Hub:
    """What the connections share. `counts` counts connections, frames, and answers by code.

    A connection is any object here, told from others by identity.
    """

    def __init__(
        self,
        exchange: SimulatedExchange,
        clock: Clock,
        gate: Admission,
        limits: Limits,
        faults: FaultInjector,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.clock = clock
        self.limits = limits
        self.faults = faults
        self.exchange = exchange
        self.frames = FrameWriter(exchange, seed=faults.seed)
        self._gate = gate
        self._owners: dict[str, object] = {}  # connections by app key

    def refusal(self, connection: object, asked: Registration) -> str | None:
        """Return the code with which a message is refused before its TR is read; None if it is not.

        The first registration takes the app key for the connection; another one has to wait.
        """
        if asked.approval_key:
            app_key = self._gate.approvals.app_key(asked.approval_key)
            if app_key is None:
                return "OPSP0011"
        elif not self._gate.knows(asked.app_key, asked.app_secret):
            return "OPSP0010"
        else:
            app_key = asked.app_key
        injected = self.faults.refused_registration(asked.tr_id, asked.tr_key, self.clock.now())
        if injected == "OPSP0011":
            self._gate.approvals.withdraw()
        if injected:
            return injected
        if self._owners.setdefault(app_key, connection) is not connection:
            return "OPSP8996"
        return None

    def registrations(self) -> int:
        """Return how many registrations a connection may have now."""
        return self.faults.registrations(self.limits.registrations, self.clock.now())

    def release(self, connection: object) -> None:
        """Let the connection's app keys be used by another one: it has ended."""
        self._owners = {
            key: owner for key, owner in self._owners.items() if owner is not connection
        }
