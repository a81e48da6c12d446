"""What a day's plan costs in calls a minute, before it is begun: it must fit into KIS's pace."""

from __future__ import annotations

from collections import Counter

from engine.errors import InputError
from engine.fetchers import night_chain, option_chain
from engine.settings import KisSettings
from pipelines.day_plan import DayPlan

# Of a chain at most, by the fetcher that brings its snapshots.
_CALLS = {
    "option_chain": option_chain.CALLS_A_MINUTE,
    "night_chain": night_chain.CALLS_A_MINUTE,
}


def calls_a_minute(plan: DayPlan) -> Counter[str]:
    """Return how many calls a minute each part of the plan makes, by name, at most.

    Bars cost one a symbol where KIS has them at once; of a chain all strikes near the market count.
    """
    bars = len(plan.bars) + len(plan.handed_on)
    chains = sum(_CALLS[chain.source] for chain in plan.chains)
    costs = Counter({"bars": bars, "chains": chains})
    for stream in plan.streams:
        costs[stream.symbol.stream.name] += stream.symbol.stream.calls
    return costs


def costs_text(plan: DayPlan, settings: KisSettings) -> str:
    """Return the costs as one line: bars 4, chains 62, flows 9: 75 of 300 calls a minute."""
    costs = calls_a_minute(plan)
    parts = ", ".join(f"{name} {count}" for name, count in costs.items() if count or plan.streams)
    return f"{parts}: {costs.total()} of {most_calls_a_minute(settings):.0f} calls a minute"


def require_pace(plan: DayPlan, settings: KisSettings) -> None:
    """Raise InputError if what is told once does not fit into the pace beside the rest.

    Also if it comes by the feed and the feed is off.
    """
    fed = [stream.code for stream in plan.streams if stream.symbol.stream.origin == "feed"]
    if fed and not settings.stream:
        raise InputError(
            f"{fed[0]} comes by KIS's WebSocket alone: set `stream` to true, or take `book` out of"
            " `collect`"
        )
    if plan.universes and calls_a_minute(plan).total() > most_calls_a_minute(settings):
        raise InputError(
            f"too much to follow: {costs_text(plan, settings)}; name fewer stocks than"
            f" {', '.join(plan.universes)} in `stocks`, or raise calls_per_second if KIS allows it"
        )
    extra = sum(stream.symbol.stream.calls for stream in plan.streams)
    if extra and calls_a_minute(plan).total() > most_calls_a_minute(settings):
        raise InputError(
            f"too much to collect: {costs_text(plan, settings)}; take something out of `collect`,"
            " or raise calls_per_second if KIS allows it"
        )


def most_calls_a_minute(settings: KisSettings) -> float:
    """Return the calls a minute of all app keys together."""
    return settings.calls_per_second * 60 * max(1, len(settings.app_keys))
