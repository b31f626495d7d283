"""Campaigns on the device: what is sent, with its window, once, within budgets that nothing gives back."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everloop.client import Client, Spool
from everloop.client.campaigns import Campaigns
from everloop.client.counts import Counts
from everloop.client.events import Event, feedback_event, interaction_event
from everloop.client.ledger import Ledger
from everloop.client.transport import Http, Reply, Unreachable
from everloop.collect.campaigns import change, etag
from everloop.errors import InvalidInput
from everloop.types import Campaign, Correction, Implicit, Interaction, Intervention
from tests.client.conftest import Clock, Running, serving

HOUR = 3600
NOW = 1_800_000_000_000


class Server:
    """A Transport that publishes campaigns."""

    def __init__(self, *campaigns: Any) -> None:
        self.campaigns = list(campaigns)
        self.time: int | None = NOW
        self.asked: list[int] = []
        self.answer: Reply | Exception | None = None

    def get(self, path: str, tag: str | None, timeout: float) -> Reply:
        answer = self.answer
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        new = etag(self.campaigns)
        self.asked.append(304 if tag == new else 200)
        if tag == new:
            return Reply(304, b"", None, None, self.time)
        return Reply(200, msgspec.json.encode({"campaigns": self.campaigns}), None, new, self.time)

    def post(self, path: str, body: bytes, media: str, timeout: float) -> Reply:
        raise Unreachable("not here")

    def forget(self) -> None: ...

    def close(self) -> None: ...


class Device:
    """Campaigns, with clocks that are turned by hand."""

    def __init__(self, folder: Path, *campaigns: Any, wall: float = NOW / 1000, max_bytes: int = 1 << 20) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.clock = Clock()
        self.wall = wall
        self.server = Server(*campaigns)
        self.max_bytes = max_bytes
        self.boot()

    def boot(self) -> None:
        self.counts = Counts()
        self.clock.now = 1000.0  # the running clock starts again
        self.on = Campaigns(
            self.folder, self.server, self.counts, seconds=300, max_bytes=self.max_bytes, clock=self.clock,
            ledger=Ledger(self.folder, clock=self.clock, wall=lambda: self.wall),
        )  # fmt: skip
        self.on.ask_for("desk")
        self.on.look()

    def see(self, id: str, confidence: float | None = None, *, direct: bool = False, **given: Any) -> list[str]:
        fields = {"id": id, "input": "x" * 50, "output": "yes", "confidence": confidence, **given}
        fields = {key: value for key, value in fields.items() if value is not None}
        return ids(self.on.interaction(interaction_event("desk", fields, 1), "desk", fields, direct))

    def say(self, about: str, kind: str, value: Any, *, direct: bool = True, **given: Any) -> list[Event]:
        fields = {"value": value, **given}
        event = feedback_event(about, kind, fields, 0 if direct else 2)
        return self.on.feedback(event, about, "desk", {**fields, "kind": kind}, direct)

    def admit(self) -> list[str]:
        return ids(self.on.admit())

    def seconds(self, by: float) -> None:
        self.clock.now += by
        self.wall += by


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


def unsure(**given: Any) -> Campaign:
    return Campaign(**{"id": "unsure", "loop": "desk", "when": {"confidence": {"below": 0.6}}, **given})


def context(event: Event) -> Any:
    return msgspec.json.decode(event.body)["context"]


def test_only_what_matches_is_sent(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure(version=3))
    assert [device.see("a", 0.9), device.see("b", 0.5), device.see("c"), device.see("d", 0.1, direct=True)] == [
        [], [], [], ["d"],
    ]  # fmt: skip
    sent = device.on.admit()
    assert ids(sent) == ["b"]
    assert context(sent[0]) == {"uploaded_for": {"campaign": "unsure", "version": 3}}
    assert device.admit() == []
    assert device.counts.numbers["unasked"] == 2
    assert device.on.states() == {"desk/unsure": "active"}


def test_an_id_that_comes_twice_is_one_interaction(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure())
    assert [device.see("a", 0.1), device.see("a", 0.1), device.see("b", 0.9), device.see("b", 0.9)] == [[]] * 4
    assert device.admit() == ["a"]
    assert device.see("a", 0.1, direct=True) == []
    assert device.see("b", 0.9, direct=True) == ["b"]
    assert device.see("b", 0.9, direct=True) == []


def test_several_campaigns_send_it_once_and_the_first_with_room_pays(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure(bytes=200), unsure(id="all", when={}, priority="bulk"))
    for n in range(3):
        device.see(f"i{n}", 0.5)
    sent = device.on.admit()
    assert ids(sent) == ["i0", "i1", "i2"]
    assert [context(one)["uploaded_for"]["campaign"] for one in sent] == ["unsure", "all", "all"]
    assert [one.rank for one in sent] == [1, 2, 2]


def test_the_window_around_a_takeover(tmp_path: Path) -> None:
    takeover = unsure(id="takeover", when={"feedback": "intervention"}, before_s=10, after_s=5)
    device = Device(tmp_path, takeover)
    for second in range(20):
        device.see(f"t{second}", 0.99, session="drive")
        device.see(f"o{second}", 0.99, session="other")
        device.seconds(1)
    now_sent = device.say("t19", "intervention", "brake")
    assert ids(now_sent)[0] == "t19"
    said = msgspec.json.decode(now_sent[1].body)
    assert (said["before_s"], said["after_s"]) == (10, 5)
    for second in range(20, 30):
        device.seconds(1)
        device.see(f"t{second}", 0.99, session="drive")
        device.see(f"o{second}", 0.99, session="other")
    sent = device.on.admit()
    assert ids(sent) == [f"t{n}" for n in (*range(18, 9, -1), *range(20, 25))]
    assert {context(one)["uploaded_for"]["window_of"] for one in sent} == {"t19"}
    assert device.admit() == []


def test_a_window_that_was_not_granted_sends_nothing_after_it_either(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure(rate=1, after_s=5))
    device.see("a", 0.1)
    device.see("b", 0.1)  # refused by the rate, but in the window of the first
    device.seconds(4)
    device.see("c", 0.9)
    device.seconds(2)
    device.see("d", 0.9)  # only b's window would reach so far
    assert device.admit() == ["a", "b", "c"]


def test_feedback_is_sent_with_the_interaction_it_speaks_of(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.see("a", 0.9)
    skipped = device.say("a", "implicit", "skip", direct=False)
    assert skipped == []
    assert ids(device.say("a", "correction", "no"))[0] == "a"
    assert device.counts.numbers["unasked"] == 0
    assert len(device.say("a", "implicit", "dwell", direct=False)) == 1
    device.say("not here", "implicit", "dwell", direct=False)
    assert device.counts.numbers["unasked"] == 1


def test_implicit_feedback_goes_where_its_interaction_goes(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure())
    device.see("a", 0.5)
    device.see("b", 0.9)
    for about in ("a", "b"):
        device.say(about, "implicit", "skip", direct=False)
    assert len(device.admit()) == 2  # a and what was said of it
    device.say("a", "implicit", "dwell", direct=False)
    device.say("b", "implicit", "dwell", direct=False)
    assert len(device.admit()) == 1
    assert device.counts.numbers["unasked"] == 3


def test_a_person_who_did_not_agree_is_in_no_campaign(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure(before_s=60, after_s=60))
    device.see("private", 0.1, consent=("service",))
    device.see("a", 0.1)
    device.see("private too", 0.9, consent=("service",))
    device.see("b", 0.9, consent=("service", "improve"))
    assert device.admit() == ["a", "b"]


def test_the_hourly_cap_and_what_a_restart_or_a_clock_does_to_it(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure(rate=3))
    count = 0

    def burst() -> int:
        nonlocal count
        sent = 0
        for _ in range(5):
            count += 1
            device.see(f"i{count}", 0.1)
            sent += len(device.admit())
        return sent

    assert (burst(), burst()) == (3, 0)
    device.boot()
    assert burst() == 0
    for jump in (-10 * HOUR, +10 * HOUR):
        device.wall += jump
        device.boot()
        assert burst() == 0
    device.seconds(HOUR - 1)
    assert burst() == 0
    device.seconds(62)
    assert burst() == 3
    device.server.time = NOW + 3 * HOUR * 1000
    device.boot()  # off for a while, or not: nobody knows how long before that it was sent
    assert burst() == 0
    device.seconds(400)
    device.server.time += 400_000
    device.on.look()
    device.server.time += 3 * HOUR * 1000
    device.boot()  # but now it is known
    assert burst() == 3


def test_no_budget_is_exceeded_whatever_happens(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure(bytes=1000))
    sent = 0
    for n in range(200):
        device.see(f"i{n}", 0.1)
        if n % 7 == 0:
            sent += sum(len(one.body) + 1 for one in device.on.admit())
        if n % 10 == 0:
            device.boot()
    assert 800 < sent <= 1000
    assert device.on.states() in ({"desk/unsure": "its bytes are used up"}, {"desk/unsure": "active"})
    device.server.campaigns = [unsure(bytes=1000, version=2)]  # an edit gives nothing back
    device.boot()
    for n in range(200, 220):
        device.see(f"i{n}", 0.1)
    assert sent + sum(len(one.body) + 1 for one in device.on.admit()) <= 1000


def test_a_campaign_ends_by_either_clock_and_none_that_jumps_back_prolongs_it(tmp_path: Path) -> None:
    def active(device: Device) -> bool:
        return device.on.states() == {"desk/unsure": "active"}

    until = NOW + HOUR * 1000
    device = Device(tmp_path / "a", unsure(until=until))
    assert active(device)
    device.seconds(HOUR + 1)
    assert not active(device)
    device.server.answer = Unreachable("dark")
    device.on.look()
    device.wall = 0  # the battery of the clock is empty
    device.boot()
    assert not active(device)
    # A device whose clock stands still in 1970 knows the end by the server's time and its own running clock.
    device = Device(tmp_path / "b", unsure(until=until), wall=0)
    assert active(device)
    device.seconds(HOUR - 2)
    assert active(device)
    device.seconds(3)
    assert not active(device)
    # One that once was in the future is mended by the server, when it is no longer there.
    device = Device(tmp_path / "c", unsure(until=until), wall=NOW / 1000 + 99 * HOUR)
    assert not active(device)
    device.wall = NOW / 1000
    device.server.answer = Unreachable("dark")
    device.boot()
    assert not active(device)
    device.server.answer = None
    device.seconds(400)
    device.on.look()
    assert active(device)


def test_a_device_that_is_dark_goes_on_from_its_copy_and_a_damaged_copy_is_ignored(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure())
    device.server.answer = Unreachable("dark")
    device.boot()
    assert device.on.states() == {"desk/unsure": "active"}
    kept = tmp_path / "campaigns.kept"
    whole = kept.read_bytes()
    for broken in (b"", whole[:-5], whole.replace(b"0.6", b"0.9"), b"\0" * len(whole), b"\xff" + whole):
        kept.write_bytes(broken)
        device.boot()
        assert device.on.states() == {}
    device.server.answer = None
    device.boot()
    assert device.on.states() == {"desk/unsure": "active"}


@pytest.mark.parametrize(
    "reply",
    [Reply(200, b"<html>Welcome to our wifi"), Reply(200, b'{"campaigns": 5}'), Reply(404, b"{}"), Reply(401, b""),
     Reply(503, b""), Reply(200, b'{"campaigns":[' + b'{"when":' * 5000 + b"}"), Reply(304, b"")],
)  # fmt: skip
def test_what_is_no_answer_changes_nothing(tmp_path: Path, reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    device = Device(tmp_path, unsure())
    device.server.answer = reply
    for _ in range(2):
        device.seconds(500)
        device.on.look()
    assert device.on.states() == {"desk/unsure": "active"}
    assert caplog.text.count("no campaigns for loop 'desk'") == (reply.status in (401, 404))


def test_what_the_device_cannot_read_is_refused_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(
        tmp_path, {"id": "new", "loop": "desk", "when": {"confidence": {"resembles": 1}}}, {"id": 5}, unsure(),
        unsure(id="elsewhere", loop="other"), unsure(id="paused", state="paused"),
    )  # fmt: skip
    assert device.on.states() == {
        "desk/new": "refused: when: no comparison 'resembles'; there are above, below, contains, equals, in, length, "
        "missing",
        "desk/unsure": "active",
    }
    assert "campaign 'new' version 1 is ignored" in caplog.text
    assert "makes no sense" in caplog.text


def test_a_damaged_account_sends_nothing_more_for_the_campaigns_there_are(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure(bytes=10_000, at=NOW - 1))
    device.see("a", 0.1)
    assert device.admit() == ["a"]
    spent = tmp_path / "campaigns.spent"
    spent.write_bytes(spent.read_bytes()[:-3] + b"xyz")
    device.boot()
    device.see("b", 0.1)
    assert device.admit() == []
    assert device.on.states() == {"desk/unsure": "what it had used is not known any more"}
    device.server.campaigns.append(unsure(id="another", at=NOW + 1))
    device.seconds(500)
    device.on.look()
    device.see("c", 0.1)
    assert device.admit() == ["c"]


def test_a_disk_that_takes_no_account_sends_nothing_and_the_product_goes_on(tmp_path: Path) -> None:
    device = Device(tmp_path / "f", unsure())
    (tmp_path / "f" / "campaigns.new").mkdir()
    (tmp_path / "f" / "campaigns.spent").unlink(missing_ok=True)
    device.see("a", 0.1)
    assert device.admit() == []
    (tmp_path / "f" / "campaigns.new").rmdir()
    device.see("b", 0.1)
    assert device.admit() == ["b"]
    assert device.counts.numbers["unasked"] == 1


def test_memory_is_bounded(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure(before_s=600), max_bytes=20_000)
    for n in range(1000):
        device.see(f"i{n}", 0.9)
        device.say(f"i{n}", "implicit", "skip", direct=False)
    assert device.on._recent.bytes <= 20_000
    assert 5 < len(device.on._recent) < 50
    for n in range(10_000):
        device.see(f"j{n}", 0.1)
    assert len(device.on._wishes) <= 5000


def test_it_is_asked_for_with_its_etag_and_not_too_often(tmp_path: Path) -> None:
    device = Device(tmp_path, unsure())
    for _ in range(60):
        device.seconds(60)
        device.on.look()
    assert device.server.asked[0] == 200
    assert set(device.server.asked[1:]) == {304}
    assert 8 <= len(device.server.asked) <= 16
    asked = len(device.server.asked)
    for _ in range(60):
        device.seconds(60)
        device.on.look(metered=True)
    assert len(device.server.asked) - asked <= 2


def test_two_processes_share_a_budget(tmp_path: Path) -> None:
    one, other = (Device(tmp_path, unsure(bytes=700)) for _ in range(2))
    sent = 0
    for n in range(20):
        for name, device in (("one", one), ("other", other)):
            device.see(f"{name}{n}", 0.1)
            sent += sum(len(event.body) + 1 for event in device.on.admit())
    assert 500 < sent <= 700


def test_campaigns_need_a_spool() -> None:
    with pytest.raises(InvalidInput, match="need a spool"):
        Client("http://127.0.0.1:9", loop="desk", campaigns=True)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_client_and_a_real_server(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        _client_and_server(server, tmp_path / "spool")


def _client_and_server(server: Running, folder: Path) -> None:
    records = server.wheel.store.records
    change(records, "desk", "unsure", {"when": {"any": [{"confidence": {"below": 0.6}}, {"disagrees": {}}]}})
    change(records, "desk", "takeover", {"when": {"feedback": "intervention"}, "before_s": 60})
    with Client(
        server.url, loop="desk", spool=Spool(folder), campaigns=True, campaign_seconds=0.2, batch_seconds=0.02
    ) as client:
        until(lambda: client.stats().campaigns == {"desk/takeover": "active", "desk/unsure": "active"})
        sure, doubted = client.log("a", "yes", confidence=0.9), client.log("b", "yes", confidence=0.3)
        third = client.log("c", "yes", confidence=0.9, second={"shadow": "no"})
        client.feedback(sure, implicit="skip")
        assert client.flush(20)
        assert sorted(server.ids(Interaction)) == sorted([doubted, third])
        found = records.get(Interaction, third)
        assert found is not None
        assert found.context == {"second": {"shadow": "no"}, "uploaded_for": {"campaign": "unsure", "version": 1}}
        assert client.stats().unasked == 2

        corrected = client.log("d", "yes", confidence=0.9)
        client.feedback(corrected, correction="no")
        assert client.flush(20)
        assert set(server.ids(Interaction)) == {doubted, third, corrected}
        assert len(server.ids(Correction)) == 1

        client.feedback(corrected, intervention="brake")  # and now what came before it, with what was said of it
        assert client.flush(20)
        assert set(server.ids(Interaction)) == {sure, doubted, third, corrected}
        assert len(server.ids(Implicit)) == 1
        assert records.find(Intervention)[0].before_s == 60
        stats = client.stats()
        assert (stats.unasked, stats.entered) == (0, stats.sent)

        change(records, "desk", "unsure", {"state": "paused"})
        until(lambda: client.stats().campaigns == {"desk/takeover": "active"})
        client.log("e", "yes", confidence=0.1)
        assert client.flush(20)
        assert client.stats().unasked == 1
    assert Counter(one.context.get("uploaded_for", {}).get("campaign") for one in records.find(Interaction)) == {
        "unsure": 2, "takeover": 1, None: 1,
    }  # fmt: skip


def test_what_the_server_answered_itself_is_not_sent_again_and_has_a_window(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        takeover = {"when": {"feedback": "correction", "confidence": {"missing": True}}, "before_s": 60}
        change(server.wheel.store.records, "desk", "takeover", takeover)
        with Client(server.url, loop="desk", spool=Spool(tmp_path / "spool"), campaigns=True) as client:
            until(lambda: client.stats().campaigns)
            before = client.log("a", "yes", confidence=0.9)
            answer = client.predict("b", subject="somebody")
            client.feedback(answer.id, correction="no")
            assert client.flush(20)
            assert sorted(server.ids(Interaction)) == sorted([before, answer.id])
            stats = client.stats()
    assert (stats.entered, stats.sent, stats.known, stats.refused, stats.unasked) == (2, 2, 0, 0, 0)


def test_a_forked_child_goes_on_by_itself(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        change(server.wheel.store.records, "desk", "unsure", {"when": {"confidence": {"below": 0.6}}, "bytes": 2000})
        with Client(server.url, loop="desk", spool=Spool(tmp_path / "spool"), campaigns=True) as client:
            until(lambda: client.stats().campaigns)
            client.log("parent", "yes", confidence=0.1)
            assert client.flush(20)
            child = os.fork()
            if child == 0:
                failed = 1
                try:
                    for _ in range(20):
                        client.log("child", "yes", confidence=0.1)
                    client.close(20)
                    failed = 0
                finally:
                    os._exit(failed)
            assert os.waitpid(child, 0)[1] == 0
            assert client.flush(20)
        found = [one.input for one in server.wheel.store.records.find(Interaction)]
    assert found.count("parent") == 1
    assert 3 < found.count("child") < 20  # the budget is the device's, not the process's


@pytest.mark.parametrize("second", ["right", 5, ["right"]])
def test_a_second_answer_has_a_name(second: Any) -> None:
    with (
        Client("http://127.0.0.1:9", loop="desk", close_seconds=0) as client,
        pytest.raises(InvalidInput, match="name"),
    ):
        client.log("a", "left", second=second)


def test_http_says_the_servers_time_and_304(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        http = Http(server.url)
        first = http.get("/v1/loops/desk/campaigns", None, 5)
        again = http.get("/v1/loops/desk/campaigns", first.etag, 5)
        http.close()
    assert (first.status, first.body) == (200, b'{"campaigns":[]}')
    assert (again.status, again.body, again.etag) == (304, b"", first.etag)
    assert first.time is not None
    assert abs(first.time - time.time() * 1000) < 60_000
