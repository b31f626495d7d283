"""Waiting in memory: bounded, and the oldest of the lowest class goes first."""

from everloop.client.counts import Counts
from everloop.client.events import Event
from everloop.client.holding import ALL
from everloop.client.memory import Memory, weight


def event(n: int, rank: int) -> Event:
    return Event(str(n), "/v1/feedback", b"x" * 600, rank)


def test_the_bound_and_the_order_of_giving_up() -> None:
    counts = Counts()
    memory = Memory(10 * weight(event(0, 0)), counts)
    for n in range(5):
        memory.put(event(n, 2))
    for n in range(5, 10):
        memory.put(event(n, 1))
    memory.put(event(10, 1))
    assert counts.lost["dropped"] == [0, 0, 1]
    for n in range(11, 18):
        memory.put(event(n, 0))
    assert counts.lost["dropped"] == [0, 3, 5]
    memory.put(event(18, 2))
    assert counts.lost["dropped"] == [0, 3, 6]
    assert [held.event.id for held in memory.take(99, 1 << 20, ALL)] == [*map(str, range(11, 18)), "8", "9", "10"]


def test_what_is_in_flight_is_not_dropped_and_comes_back_in_order() -> None:
    counts = Counts()
    memory = Memory(4 * weight(event(0, 0)), counts)
    for n in range(4):
        memory.put(event(n, 1))
    held = memory.take(3, 1 << 20, ALL)
    memory.put(event(4, 1))
    memory.put(event(5, 1))
    assert counts.lost["dropped"] == [0, 2, 0]
    assert memory.oldest(ALL) == held[0].seq
    memory.settle(held[1:2])
    memory.give_back(held)
    memory.give_back(held)
    assert [one.event.id for one in memory.take(9, 1 << 20, ALL)] == ["0", "2", "5"]


def test_a_batch_ends_at_its_bytes_but_is_never_empty() -> None:
    memory = Memory(1 << 20, Counts())
    for n in range(3):
        memory.put(event(n, 1))
    assert len(memory.take(9, 10, ALL)) == 1
    assert len(memory.take(9, 1203, ALL)) == 2


def test_who_comes_first_is_told_so() -> None:
    memory = Memory(1 << 20, Counts())
    assert memory.put(event(1, 1))
    assert not memory.put(event(2, 0))
    memory.settle(memory.take(9, 1 << 20, ALL))
    assert memory.put(event(3, 1))
