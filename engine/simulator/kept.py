"""Results that are cached with what they were computed from, and go when that goes.

A process that plays one simulated day after the other makes a market and an exchange for each. A
cache of a module would hold the last hundred of them with all their sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, ref

Owner = TypeVar("Owner")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def kept_by_owner(
    most: int,
) -> Callable[
    [Callable[Concatenate[Owner, Arguments], Result]],
    Callable[Concatenate[Owner, Arguments], Result],
]:
    """Cache up to `most` results of a function for each of its first arguments (a decorator).

    The cache does not hold the first argument: when nobody else does, it goes with its results.
    """

    def decorate(
        function: Callable[Concatenate[Owner, Arguments], Result],
    ) -> Callable[Concatenate[Owner, Arguments], Result]:
        caches: WeakKeyDictionary[Any, Callable[..., Result]] = WeakKeyDictionary()

        @wraps(function)
        def cached(owner: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            found = caches.get(owner)
            if found is None:
                found = caches.setdefault(owner, lru_cache(most)(_for(ref(owner), function)))
            return found(*args, **kwargs)

        return cached

    return decorate


def _for(owner: Callable[[], Any], function: Callable[..., Result]) -> Callable[..., Result]:
    """Return the function for one owner, to which it keeps a weak reference alone."""
    return lambda *args, **kwargs: function(owner(), *args, **kwargs)
