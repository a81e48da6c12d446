"""What is kept with its owner: computed once for each, and gone with it."""

from __future__ import annotations

import gc
from weakref import ref

from engine.simulator.kept import kept_by_owner


class Owner:
    """Something that can be held weakly."""


def test_a_result_is_kept_for_each_owner_and_goes_with_it() -> None:
    asked = []

    @kept_by_owner(2)
    def doubled(owner: Owner, number: int) -> list[int]:
        asked.append((id(owner), number))
        return [2 * number]

    one, other = Owner(), Owner()
    assert doubled(one, 4) is doubled(one, 4)
    assert doubled(other, 4) == [8]
    assert asked == [(id(one), 4), (id(other), 4)]
    doubled(one, 5)
    doubled(one, 6)
    doubled(one, 4)  # pushed out by the other two
    assert len(asked) == 5
    gone = ref(one)
    del one
    gc.collect()
    assert gone() is None
