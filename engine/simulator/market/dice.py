"""Many random numbers at once, each a function of a key and some whole numbers alone.

So the trades of one minute do not depend on which other minutes are asked for.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The constants of splitmix64, a generator whose n-th number is computed from n alone.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def uniforms(key: object, *numbers: Ints) -> Floats:
    """Return a number in [0, 1) for each row of the arrays, which are equally long."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    mixed = np.full(numbers[0].shape, int.from_bytes(digest, "big"), np.uint64)
    for values in numbers:
        mixed = _mix(mixed + (values.astype(np.uint64) + np.uint64(1)) * _STEP)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2.0**53)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    return np.asarray(value ^ (value >> np.uint64(31)))
