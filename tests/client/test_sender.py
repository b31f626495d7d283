"""When it sends, how long it waits, and what it makes of every kind of reply; on a clock that moves when told to."""

import random
from typing import Any

import msgspec
import pytest

from everloop.client.counts import Counts
from everloop.client.events import Event
from everloop.client.memory import Memory
from everloop.client.sender import Sender
from everloop.client.transport import Reply, Unreachable, seconds
from tests.client.conftest import Clock, Dictionary


class Setup:
    def __init__(self, dictionary: Any, clock: Clock, **dials: Any) -> None:
        self.counts = Counts()
        self.memory = Memory(1 << 20, self.counts)
        self.clock = clock
        self.server = dictionary
        self.sender = Sender(self.memory, dictionary, self.counts, clock, chance=random.Random(1), **dials)

    def put(self, *ids: str, path: str = "/v1/feedback") -> None:
        for id in ids:
            self.memory.put(Event(id, path, msgspec.json.encode({"id": id}), 1))

    def run(self, limit: int = 100) -> None:
        """Until nothing waits."""
        for _ in range(limit):
            wait = self.sender.step()
            if wait is None:
                return
            self.clock.now += wait
        raise AssertionError("something still waits")


@pytest.fixture
def setup(dictionary: Dictionary, clock: Clock) -> Setup:
    return Setup(dictionary, clock, lines=4, seconds=0.5)


def error(status: int, message: str = "no") -> Reply:
    return Reply(status, msgspec.json.encode({"error": {"message": message, "type": "X"}}))


def test_a_batch_goes_when_it_is_full_or_old_enough(setup: Setup) -> None:
    assert setup.sender.step() is None
    setup.put("a", "b")
    assert setup.sender.step() == 0.5
    setup.clock.now += 0.5
    assert setup.sender.step() == 0
    setup.put("c", "d", "e", "f", "g")
    setup.sender.step()
    assert setup.server.requests == [("/v1/feedback", 2), ("/v1/feedback", 4)]
    setup.sender.hurry(True)
    setup.sender.step()
    assert list(setup.server.taken) == list("abcdefg")


def test_each_path_has_a_request_of_its_own(setup: Setup) -> None:
    setup.put("a")
    setup.put("b", path="/v1/loops/x/interactions")
    setup.put("c")
    setup.run()
    assert setup.server.requests == [("/v1/feedback", 2), ("/v1/loops/x/interactions", 1)]


def test_backoff_doubles_within_its_bounds_and_jitters_fully(dictionary: Dictionary, clock: Clock) -> None:
    waits: list[list[float]] = []
    for seed in range(200):
        setup = Setup(dictionary, clock)
        setup.sender._chance = random.Random(seed)
        dictionary.script = [Unreachable("down") for _ in range(14)]
        setup.put("a")
        setup.sender.step()
        clock.now += 0.5
        found = []
        for _ in range(14):
            found.append(setup.sender.step() or 0.0)
            clock.now += found[-1]
        waits.append(found)
    for n in range(14):
        bound = min(120.0, 0.1 * 2**n)
        column = [found[n] for found in waits]
        assert 0.9 * bound < max(column) <= bound
        assert min(column) < 0.1 * bound
        assert 0.4 * bound < sum(column) / 200 < 0.6 * bound


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_is_asked_when_it_says(setup: Setup, status: int) -> None:
    setup.server.script = [Reply(status, b"", 40.0)]
    setup.put("a")
    setup.sender.hurry(True)
    assert setup.sender.step() == pytest.approx(40.0)
    setup.sender.hurry(True)  # a flush does not override what the server asked for
    assert setup.sender.step() == pytest.approx(40.0)
    setup.clock.now += 40
    setup.run()
    assert list(setup.server.taken) == ["a"]


def test_a_flush_tries_again_at_once_where_nobody_asked_for_patience(setup: Setup) -> None:
    setup.put("a")
    setup.server.script = [Unreachable("down")] * 9
    setup.clock.now += 1
    for _ in range(9):
        setup.sender.hurry(True)
        setup.sender.step()
    assert setup.server.script == []
    setup.sender.hurry(True)
    setup.sender.step()
    assert list(setup.server.taken) == ["a"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Welcome to our wifi</html>"),
        Reply(200, b""),
        Reply(200, b'{"id":"a","state":"new"}'),  # for one of two
        Reply(200, b'{"id":"b","state":"new"}\n{"id":"a","state":"new"}'),
        Reply(200, b'{"id":"a","state":"new"}\n{"id":"b"}'),
        Reply(404, b"<html>nginx</html>"),
        Reply(413, b"<html>nginx</html>"),
        Reply(204, b""),
        Reply(301, b""),
        error(503),
        error(507, "the disk is full"),
        error(500),
        error(408),
        error(429),
        error(401, "which key?"),
        Reply(403, b"<html>proxy</html>"),
    ],
)
def test_what_may_pass_is_tried_again(setup: Setup, reply: Reply) -> None:
    setup.server.script = [reply]
    setup.put("a", "b")
    setup.run()
    assert list(setup.server.taken) == ["a", "b"]
    stats = setup.counts.stats(*setup.memory.waiting())
    assert (stats.sent, stats.failures, stats.refused, stats.waiting, stats.trouble) == (2, 1, 0, 0, None)


def test_a_wrong_key_is_not_tried_often(setup: Setup) -> None:
    setup.server.script = [error(401, "which key?")]
    setup.put("a")
    setup.sender.hurry(True)
    assert 60 <= (setup.sender.step() or 0) <= 120
    assert setup.counts.trouble == "status 401: which key?"


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_what_the_server_will_never_take_is_set_aside(
    setup: Setup, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    setup.server.script = [error(status, "not this")] * 2
    setup.put("a")
    setup.run()
    setup.put("b")
    setup.run()
    assert setup.server.taken == {}
    stats = setup.counts.stats(*setup.memory.waiting())
    assert (stats.refused, stats.waiting, stats.failures) == (2, 0, 0)
    assert [record.getMessage().startswith("refused") for record in caplog.records] == [True]


class Picky(Dictionary):
    """Refuses ids with "bad" in them; whole requests over `most` lines, too."""

    most = 99
    full = False  # a disk that fills up in the middle of a batch

    def post(self, path: str, body: bytes, media: str, timeout: float) -> Reply:
        lines = body.split(b"\n")
        self.requests.append((path, len(lines)))
        if len(lines) > self.most:
            return error(413, "the body is too large")
        out: list[Any] = []
        for number, line in enumerate(lines, 1):
            id = msgspec.json.decode(line)["id"]
            if "bad" in id:
                out.append({"line": number, "error": "bad: " + id[3:]})
            elif self.full and "late" in id:
                if len(lines) == 1:
                    return error(507, "no space left")
                out.append({"line": number, "error": "no space left"})
            else:
                out.append({"id": id, "state": "known" if id in self.taken else "new"})
                self.taken[id] = line
        refused = sum("error" in line for line in out)
        return Reply(
            200 if not refused else 422 if refused == len(out) else 207, msgspec.json.Encoder().encode_lines(out)
        )


def test_lines_that_are_refused_are_set_aside_and_the_others_go(clock: Clock) -> None:
    setup = Setup(Picky(), clock)
    setup.put("a", "bad1", "b", "bad1", "bad2", "c")
    setup.run()
    assert list(setup.server.taken) == ["a", "b", "c"]
    assert setup.counts.numbers["refused"] == 3
    assert len(setup.server.requests) == 3  # one more for each reason


def test_a_disk_that_fills_up_in_the_middle_costs_no_line(clock: Clock) -> None:
    server = Picky()
    server.full = True
    setup = Setup(server, clock)
    setup.put("a", "bad", "late1", "late2")
    for _ in range(3):
        clock.now += 1
        setup.sender.hurry(True)
        setup.sender.step()
    assert setup.memory.waiting().events == 2
    server.full = False
    setup.run()
    assert list(server.taken) == ["a", "late1", "late2"]
    assert setup.counts.numbers["refused"] == 1


def test_what_is_too_large_together_is_halved(clock: Clock) -> None:
    server = Picky()
    server.most = 3
    setup = Setup(server, clock)
    setup.put(*"abcdefghij")
    setup.run()
    assert "".join(server.taken) == "abcdefghij"


def test_an_error_of_its_own_loses_nothing(setup: Setup) -> None:
    setup.server.script = [RuntimeError("a bug")]
    setup.put("a", "b")
    setup.sender.hurry(True)
    with pytest.raises(RuntimeError):
        setup.sender.step()
    setup.run()
    assert list(setup.server.taken) == ["a", "b"]


def test_retry_after_is_read_or_ignored() -> None:
    assert seconds("Wed, 21 Oct 2099 07:28:00 GMT") or 0 > 1e9
    assert seconds("") is None
    assert seconds("-5") is None
