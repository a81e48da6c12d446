"""Several app keys share what is wanted, and little changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.kis.stream.registrations import StreamRegistration, Wish, share


def option(number: int) -> StreamRegistration:
    return StreamRegistration("H0IOCNT0", f"B01612A{number:02d}")


def wishes(numbers: list[int], around: int = 0) -> list[Wish]:
    return [Wish(option(number), abs(number - around)) for number in numbers]


def test_what_is_wanted_most_comes_first_and_keys_are_filled_evenly() -> None:
    found = share(wishes(list(range(10))), [3, 3])
    assert found == [[option(0), option(2), option(4)], [option(1), option(3), option(5)]]


def test_what_is_present_stays_with_its_key() -> None:
    present = [{option(5)}, {option(0), option(1)}]
    found = share(wishes(list(range(6))), [3, 3], present)
    assert option(5) in found[0]
    assert {option(0), option(1)} <= set(found[1])


def test_options_move_with_atm_only_when_it_has_moved_far_enough() -> None:
    strikes = list(range(30))
    held = share(wishes(strikes, around=10), [5])[0]
    nearby = share(wishes(strikes, around=11), [5], [held], hysteresis=2.0)[0]
    assert set(nearby) == set(held)
    far = share(wishes(strikes, around=15), [5], [held], hysteresis=2.0)[0]
    assert option(15) in far
    assert set(far) != set(held)


def test_a_smaller_limit_drops_what_is_wanted_least() -> None:
    held = share(wishes(list(range(5))), [5])
    assert share(wishes(list(range(5))), [3], held) == [[option(0), option(1), option(2)]]


numbers = st.integers(0, 20)


@given(
    st.lists(st.tuples(numbers, st.floats(0, 9)), max_size=30),
    st.lists(st.integers(0, 8), max_size=3),
    st.lists(st.sets(numbers, max_size=8), max_size=3),
    st.floats(0, 5),
)
def test_no_key_gets_more_than_it_takes_and_nothing_twice(
    wanted: list[tuple[int, float]], limits: list[int], present: list[set[int]], hysteresis: float
) -> None:
    given_wishes = [Wish(option(number), priority) for number, priority in wanted]
    held = [{option(number) for number in one} for one in present]
    found = share(given_wishes, limits, held, hysteresis)
    placed = [one for part in found for one in part]
    different = {wish.registration for wish in given_wishes}
    assert [len(part) <= limit for part, limit in zip(found, limits, strict=True)] == [True] * len(
        limits
    )
    assert len(placed) == len(set(placed)) == min(len(different), sum(limits))
    assert set(placed) <= different
