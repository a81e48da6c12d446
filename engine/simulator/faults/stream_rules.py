"""What the WebSocket does wrong. `endpoint` names TRs of it, or trades, books, stream (both), all.

Rules about frames are consulted for each frame when it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from engine.simulator.faults.rule import STREAM_GROUPS, Rule


class StreamRule(Rule):
    """What rules about the WebSocket have in common."""

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = STREAM_GROUPS
    everything: ClassVar[tuple[str, ...]] = STREAM_GROUPS["stream"]


class StreamCut(StreamRule):
    """The connection is cut instead of the frame; `farewell`: with a close frame, else without."""

    what: Literal["stream_cut"]
    farewell: bool = False


class QuietFeed(StreamRule):
    """No frames come, but the connection stays; without `pings` no PINGPONG comes either."""

    what: Literal["silence"]
    pings: bool = True


class LostFrames(StreamRule):
    """A frame does not come."""

    what: Literal["lost_frames"]


class DoubledFrames(StreamRule):
    """A frame comes `times` times."""

    what: Literal["doubled_frames"]
    times: int = Field(2, ge=2, le=50)


class TornFrames(StreamRule):
    """Only this share of a frame's text comes, from its beginning."""

    what: Literal["torn_frames"]
    share: float = Field(0.6, gt=0, lt=1)


class AddedFields(StreamRule):
    """Each record ends with so many more fields, as when KIS adds some without notice."""

    what: Literal["added_fields"]
    fields: int = Field(3, ge=1, le=50)


class ForeignRecords(StreamRule):
    """After a frame comes one with the same values of a symbol that nobody registered."""

    what: Literal["foreign_records"]


class MissingCount(StreamRule):
    """A frame does not say how many records it has."""

    what: Literal["missing_count"]


class WrongTime(StreamRule):
    """The exchange's time in the records is off by so many seconds: ahead, or below 0 behind."""

    what: Literal["wrong_time"]
    seconds: int = Field(ge=-3600, le=3600)


class HeldFrames(StreamRule):
    """A frame is held for so many seconds, those behind it too; then all come at once."""

    what: Literal["held_frames"]
    seconds: float = Field(gt=0)


class RefuseRegistration(StreamRule):
    """A registration is refused with `code`, one of KIS's.

    After OPSP8996 the connection is closed, and with OPSP0011 all approval keys are withdrawn.
    """

    what: Literal["refuse_registration"]
    code: Literal[
        "OPSP0007",
        "OPSP0008",
        "OPSP0009",
        "OPSP0010",
        "OPSP0011",
        "OPSP8991",
        "OPSP8992",
        "OPSP8996",
    ] = "OPSP0007"


class RegistrationLimit(StreamRule):
    """For a while, fewer registrations are let in; those already made stay."""

    what: Literal["registration_limit"]
    registrations: int = Field(ge=0)


FrameRule = (
    StreamCut
    | QuietFeed
    | LostFrames
    | DoubledFrames
    | TornFrames
    | AddedFields
    | ForeignRecords
    | MissingCount
    | WrongTime
    | HeldFrames
)
AnyStreamRule = FrameRule | RefuseRegistration | RegistrationLimit
