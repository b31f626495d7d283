"""Keys over HTTP, and through their lives: made, rotated, revoked, ended; in one process and in two."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import everloop
from everloop import keys
from everloop.client import Client
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.keys import Keyring, Made, new_key, origin, well_formed
from everloop.settings import Settings
from everloop.types import Audit, Key
from everloop.wheel import Wheel

from .conftest import served


@pytest.fixture
def admin(wheel: Wheel) -> Made:
    return keys.create(wheel.store.records, "me", "admin")


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def until(true: Callable[[], bool], seconds: float = 5.0) -> float:
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds
        time.sleep(0.01)
    return time.monotonic() - started


def test_made_listed_rotated_revoked(wheel: Wheel, admin: Made) -> None:
    with served(wheel) as http:
        http.headers.update(bearer(admin.secret))
        made = http.post("/v1/keys", json={"role": "client", "name": "bot", "days": 30})
        assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
        first = made.json()
        listed = http.get("/v1/keys")
        assert first["secret"] not in listed.text
        assert "hash" not in listed.text
        assert [(one["role"], one["state"]) for one in listed.json()["keys"]] == [("admin", "live"), ("client", "ends")]
        id = first["key"]["id"]
        second = http.post(f"/v1/keys/{id}/rotate", json={"grace_s": 3600}).json()
        assert second["key"]["replaces"] == id
        assert second["key"]["until"] - second["key"]["at"] == pytest.approx(30 * 86_400_000)
        feedback = {"kind": "thumb", "value": "up", "interaction": "x"}
        for secret in (first["secret"], second["secret"]):  # no downtime: both work
            until(lambda s=secret: http.post("/v1/feedback", json=feedback, headers=bearer(s)).status_code == 202)
        again = http.post(f"/v1/keys/{id}/rotate")
        assert (again.status_code, again.json()["error"]["message"]) == (
            409, f"key {id} was rotated already; rotate the newer one, {second['key']['id']}",
        )  # fmt: skip
        assert http.delete(f"/v1/keys/{id}").json()["state"] == "revoked"
        until(lambda: http.post("/v1/feedback", json=feedback, headers=bearer(first["secret"])).status_code == 401)
        assert http.delete("/v1/keys/nobody1234").status_code == 404
        for wrong in ({"role": "king"}, {"role": "publishable"}, {"role": "client", "loop": "nowhere"}, {},
                      {"role": "client", "rate": -1}, {"role": "client", "surprise": 1}):  # fmt: skip
            assert http.post("/v1/keys", json=wrong).status_code in {404, 422}, wrong


def test_the_first_key_closes_and_a_revoked_one_stops_within_a_second_elsewhere(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    with everloop.open(settings=settings) as one, everloop.open(settings=settings) as other, served(one) as http:
        assert http.get("/v1/loops").status_code == 200
        made = keys.create(other.store.records, "bot", "developer")  # as another process does
        assert until(lambda: http.get("/v1/loops").status_code == 401) < 2.0
        assert http.get("/v1/loops", headers=bearer(made.secret)).status_code == 200
        keys.revoke(other.store.records, made.key.id)
        assert until(lambda: http.get("/v1/loops", headers=bearer(made.secret)).status_code == 401) < 2.0
        message = http.get("/v1/loops", headers=bearer(made.secret)).json()["error"]["message"]
        assert message == f"key {made.key.id} was revoked; ask for a new one"
        assert http.get("/v1/loops").status_code == 401  # no key works any more, and it is not open again
        until(lambda: bool(other.store.records.find(Audit, by="unknown") or http.get("/v1/loops").is_success))
        (row,) = other.store.records.find(Audit, by="unknown")
        assert (row.action, row.target) == ("key.refused", made.key.id)


def test_an_ended_key_ends_by_itself(wheel: Wheel, admin: Made) -> None:
    short = keys.create(wheel.store.records, "bot", "developer", days=0.4 / 86_400)
    with served(wheel) as http:
        until(lambda: http.get("/v1/loops", headers=bearer(short.secret)).status_code == 401)
        assert "has ended" in http.get("/v1/loops", headers=bearer(short.secret)).text
        with pytest.raises(Conflict, match="is ended; make a new one"):
            keys.rotate(wheel.store.records, short.key.id, 0)


def test_rotation_keeps_the_rights_and_never_a_longer_life(wheel: Wheel) -> None:
    records = wheel.store.records
    wheel.loop("support")
    old = keys.create(records, "bot", "client", loop="support", rate=5.0, days=1)
    new = keys.rotate(records, old.key.id, 30 * 86_400)
    assert (new.key.role, new.key.loop, new.key.rate, new.key.name) == ("client", "support", 5.0, "bot")
    assert keys.stored(records, old.key.id).until == old.key.until  # the grace is no extension
    now_dead = keys.rotate(records, new.key.id, 0)
    assert not keys.usable(keys.stored(records, new.key.id), everloop.ids.now())
    with pytest.raises(InvalidInput, match="grace"):
        keys.rotate(records, now_dead.key.id, -1)
    with pytest.raises(NotFound, match="not an id"):
        keys.rotate(records, new.secret, 0)


def test_what_is_at_rest_opens_nothing(wheel: Wheel, tmp_path: Path) -> None:
    made = keys.create(wheel.store.records, "me", "admin")
    wheel.store.records.put(Audit(id="a", at=0, by="cli", action="x"))
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert made.secret.encode() not in data
            assert made.secret.split("_")[2].encode() not in data
    ring = Keyring(wheel.store.records.find(Key))
    assert ring.find(made.key.hash) is None


@given(st.text(max_size=100))
def test_no_text_is_a_key_and_none_breaks_the_ring(text: str) -> None:
    made = new_key("x", "client")
    ring = Keyring([made.key])
    assert ring.find(text) is None
    assert not well_formed(text)
    for near in (text + made.secret, made.secret + text, made.secret[:15] + text):
        assert (ring.find(near) is None) == (near != made.secret)


@given(st.integers(0, 63), st.sampled_from("0Aa_é"))
def test_a_typo_is_seen_without_asking_the_server(place: int, letter: str) -> None:
    secret = new_key("x", "client").secret
    changed = secret[:place] + letter + secret[place + 1 :]
    assert well_formed(changed) == (changed == secret)


def test_secrets_differ_and_hold_256_bits() -> None:
    made = [new_key("x", "client") for _ in range(200)]
    assert len({one.secret for one in made} | {one.key.id for one in made}) == 400
    assert all(well_formed(one.secret) and len(one.secret) == 64 for one in made)
    assert 62**43 > 2**256


@pytest.mark.parametrize("text", ["*", "https://*.shop.example", "null", "shop.example", "https://shop.example/path",
                                  "https://a@shop.example", "ftp://shop.example", "https://", "https://a b", "https://x:99999",
                                  "https://shop.example?x", "javascript:alert(1)"])  # fmt: skip
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(InvalidInput, match="origin"):
        origin(text)


def test_the_client_brings_its_key(wheel: Wheel, admin: Made, caplog: pytest.LogCaptureFixture) -> None:
    wheel.loop("support")
    good = keys.create(wheel.store.records, "bot", "client")
    reviewer = keys.create(wheel.store.records, "rev", "reviewer")
    with served(wheel) as http:
        url = str(http.base_url)
        with Client(url, loop="support", key=good.secret) as client:
            answer = client.log("my card", "card_arrival")
            client.feedback(answer, thumb="up")
            assert client.flush(10)
            assert client.predict("x").abstained
        asked = 0
        for key in ("evl_wrong", reviewer.secret, None):
            caplog.clear()
            with contextlib.closing(
                Client(url, loop="support", key=key, batch_seconds=0.01, close_seconds=0)
            ) as client:
                client.log("my card", "card_arrival")
                until(lambda c=client: c.stats().failures > 0)
                client.log("my card", "card_arrival")
                time.sleep(0.3)  # it must not try again and again
                assert client.stats().failures == 1
                assert client.stats().waiting == 2  # kept: a key can be mended
                said = [r.getMessage() for r in caplog.records if "status 40" in r.getMessage()]
                assert len(said) == 1, said
            asked += 1
        assert asked == 3


def test_a_client_waits_as_long_as_the_limit_says(wheel: Wheel, admin: Made) -> None:
    wheel.loop("support")
    slow = keys.create(wheel.store.records, "bot", "developer", rate=0.5)
    with served(wheel) as http:
        answers: list[httpx.Response] = [http.get("/v1/loops", headers=bearer(slow.secret)) for _ in range(11)]
        assert [one.status_code for one in answers] == [200] * 10 + [429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 2
        assert answers[-1].json()["error"]["type"] == "TooOften"
        assert http.get("/v1/loops", headers=bearer(admin.secret)).status_code == 200  # nobody else is held up
