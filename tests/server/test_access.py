"""Who gets in, on the wire: keys, roles, loops, sites, hosts and sessions."""

import base64
import json
import re
import socket
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop import keys
from everloop.keys import Made
from everloop.server import access as access_module
from everloop.server.limits import Buckets, address_of
from everloop.types import Audit, FeedbackFields, Key
from everloop.wheel import Wheel

from .conftest import served

SHOP = "https://shop.example"
THUMB = {"kind": "thumb", "value": "up", "interaction": "i1"}


@pytest.fixture
def made(wheel: Wheel) -> dict[str, Made]:
    wheel.loop("support")
    wheel.loop("other")
    made = {
        "admin": keys.new_key("me", "admin"),
        "developer": keys.new_key("dev", "developer"),
        "reviewer": keys.new_key("rev", "reviewer"),
        "client": keys.new_key("bot", "client"),
        "publishable": keys.new_key("shop", "publishable", origins=[SHOP], loop="support"),
        "bound": keys.new_key("bound bot", "client", loop="support"),
        "bound developer": keys.new_key("bound dev", "developer", loop="support"),
        "bound reviewer": keys.new_key("bound rev", "reviewer", loop="support"),
    }
    wheel.store.records.put(*(one.key for one in made.values()))
    return made


@pytest.fixture
def closed(wheel: Wheel, made: dict[str, Made]) -> Any:
    with served(wheel) as client:
        yield client


def bearer(one: Made) -> dict[str, str]:
    return {"authorization": f"Bearer {one.secret}"}


def raw(http: httpx.Client, *lines: str, body: bytes = b"") -> bytes:
    with socket.create_connection((http.base_url.host, http.base_url.port)) as one:
        one.settimeout(10)
        one.sendall("\r\n".join([*lines, f"content-length: {len(body)}", "connection: close", "", ""]).encode() + body)
        got = b""
        while more := one.recv(65536):
            got += more
        return got


def test_every_way_to_send_a_key(closed: httpx.Client, made: dict[str, Made]) -> None:
    secret = made["client"].secret
    basic = base64.b64encode(f"pk-lf-1:{secret}".encode()).decode()
    for headers in (
        {"authorization": f"Bearer {secret}"}, {"authorization": f"bearer  {secret}"}, {"x-api-key": secret},
        {"api-key": secret}, {"authorization": f"Basic {basic}"}, {"x-api-key": secret, "api-key": secret},
    ):  # fmt: skip
        assert closed.post("/v1/feedback", json=THUMB, headers=headers).status_code in {200, 201, 202}, headers
    assert closed.post("/v1/feedback", json=THUMB, params={"key": secret}).status_code == 403  # not in an address


def test_without_a_key_or_with_a_wrong_one(closed: httpx.Client, made: dict[str, Made]) -> None:
    none = closed.get("/v1/loops")
    assert (none.status_code, none.headers["www-authenticate"]) == (401, 'Bearer realm="everloop"')
    assert "everloop keys create" in none.json()["error"]["message"]
    secret = made["admin"].secret
    for wrong in ("", "evl_", secret[:-1], secret + "x", secret.swapcase(), f"evl_{made['admin'].key.id}_" + "0" * 49,
                  "sk-other", "x" * 5_000, "кл\u00fcч".encode().decode("latin-1")):  # fmt: skip
        answer = closed.get("/v1/loops", headers={"x-api-key": wrong.encode("latin-1")})
        assert answer.status_code == 401, wrong
        assert secret not in answer.text
        assert "\n" not in answer.json()["error"]["message"]
    for header in ("Basic", "Basic !!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Digest x", "Bearer"):
        assert closed.get("/v1/loops", headers={"authorization": header}).status_code == 401


def test_a_role_is_said_that_would_do(closed: httpx.Client, made: dict[str, Made]) -> None:
    refused = closed.put("/v1/loops/new", headers=bearer(made["reviewer"]))
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == (
        f"PUT /v1/loops/{{name}} needs the role developer or admin; key {made['reviewer'].key.id} is for a reviewer"
    )
    assert closed.put("/v1/loops/new", headers=bearer(made["developer"])).status_code == 200
    assert closed.delete("/v1/subjects/anna", headers=bearer(made["developer"])).status_code == 403
    assert closed.delete("/v1/subjects/anna", headers=bearer(made["admin"])).status_code == 200
    assert closed.post("/v1/loops/support/predict", json={"input": "x"}, headers=bearer(made["client"])).is_success
    assert closed.get("/v1/loops/support", headers=bearer(made["client"])).status_code == 403
    assert closed.get("/healthz").status_code == 200


def test_a_header_that_is_there_twice_is_not_guessed_at(closed: httpx.Client, made: dict[str, Made]) -> None:
    good, bad = made["admin"].secret, made["client"].secret
    for one, two in ((good, bad), (bad, good), (good, good)):
        answer = raw(closed, "GET /v1/loops HTTP/1.1", "host: localhost", f"authorization: Bearer {one}",
                     f"Authorization: Bearer {two}")  # fmt: skip
        assert b" 400 " in answer.split(b"\r\n")[0]
    two = (f"authorization: Bearer {good}", f"api-key: {bad}")
    answer = raw(closed, "GET /v1/loops HTTP/1.1", "host: localhost", *two)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"two different keys" in answer
    assert b" 400 " in raw(closed, "GET /healthz HTTP/1.1", "host: localhost", "host: evil.example").split(b"\r\n")[0]


class TestOneLoop:
    def test_its_own_and_no_other(self, closed: httpx.Client, made: dict[str, Made]) -> None:
        bound = bearer(made["bound"])
        for name, status in (("support", 200), ("other", 403), ("nowhere", 403)):
            asked = closed.post(f"/v1/loops/{name}/predict", json={"input": "x"}, headers=bound)
            assert asked.status_code == status
        for path in ("/v1/loops/support%2f..%2fother/predict", "/v1/loops/support/../other/predict",
                     "//v1/loops/other/predict", "/v1/loops/other/predict/"):  # fmt: skip
            answer = raw(closed, f"POST {path} HTTP/1.1", "host: localhost", f"x-api-key: {made['bound'].secret}",
                         body=b'{"input": "x"}')  # fmt: skip
            assert int(answer.split(b" ")[1]) in {307, 403, 404}, path

    def test_lists_and_records(self, closed: httpx.Client, wheel: Wheel, made: dict[str, Made]) -> None:
        mine, theirs = wheel.get("support").predict("a"), wheel.get("other").predict("b")
        dev = bearer(made["bound developer"])
        assert [one["spec"]["name"] for one in closed.get("/v1/loops", headers=dev).json()["loops"]] == ["support"]
        assert closed.get(f"/v1/interactions/{mine.id}", headers=dev).status_code == 200
        assert closed.get(f"/v1/interactions/{theirs.id}", headers=dev).status_code == 404
        page = closed.get("/", headers={**bearer(made["bound reviewer"]), "accept": "text/html"}).text
        assert "/loops/support" in page
        assert "/loops/other" not in page
        assert closed.get("/loops/other", headers=bearer(made["bound reviewer"])).status_code == 403

    def test_feedback_of_another_loop_is_as_if_unknown(
        self, closed: httpx.Client, wheel: Wheel, made: dict[str, Made]
    ) -> None:
        mine, theirs = wheel.get("support").predict("a"), wheel.get("other").predict("b")
        for target, status in ((mine.id, 201), (theirs.id, 202), ("not there", 202)):
            said = {"kind": "thumb", "value": "up", "interaction": target}
            assert closed.post("/v1/feedback", json=said, headers=bearer(made["bound"])).status_code == status
        assert wheel.store.records.count(FeedbackFields, "other") == 0
        wheel.get("other").log("c", "d", id="not there")  # and it is not joined when that comes, elsewhere
        assert wheel.store.records.count(FeedbackFields, "other") == 0
        early = {"kind": "thumb", "value": "up", "interaction": "mine, later"}
        assert closed.post("/v1/feedback", json=early, headers=bearer(made["bound"])).status_code == 202
        wheel.get("support").log("c", "d", id="mine, later")
        assert wheel.store.records.count(FeedbackFields, "support") == 2


class TestPublishable:
    def post(self, closed: httpx.Client, one: Made, said: Any, origin: str | None = SHOP) -> httpx.Response:
        headers = {"content-type": "text/plain", **({"origin": origin} if origin else {})}
        return closed.post("/v1/feedback", params={"key": one.secret}, content=json.dumps(said), headers=headers)

    def test_from_its_pages_feedback_and_nothing_else(self, closed: httpx.Client, made: dict[str, Made]) -> None:
        shop = made["publishable"]
        taken = self.post(closed, shop, THUMB)
        assert (taken.status_code, taken.headers["access-control-allow-origin"]) == (202, SHOP)
        assert "access-control-allow-credentials" not in taken.headers
        assert "not for pages of https://evil.example" in self.post(closed, shop, THUMB, "https://evil.example").text
        assert self.post(closed, shop, THUMB, None).status_code == 403
        assert self.post(closed, shop, THUMB, "null").status_code == 403
        asked = closed.post("/v1/loops/support/predict", json={"input": "x"}, headers={**bearer(shop), "origin": SHOP})
        assert asked.status_code == 403
        assert closed.get("/v1/loops", headers={**bearer(shop), "origin": SHOP}).status_code == 403

    def test_what_a_page_may_not_say(self, closed: httpx.Client, made: dict[str, Made]) -> None:
        for more in (
            {"source": "reviewer"}, {"source": "system"}, {"kind": "label", "value": "a"},
            {"kind": "label", "value": "a", "split": "golden"}, {"kind": "outcome", "value": 1.0},
            {"kind": "demonstration", "value": "x"}, {"kind": "intervention", "value": "x"},
        ):  # fmt: skip
            answer = self.post(closed, made["publishable"], {**THUMB, **more})
            assert answer.status_code == 403
            assert "needs a client key" in answer.json()["error"]["message"]

    def test_its_size_and_its_rate(self, wheel: Wheel, made: dict[str, Made], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(access_module, "VISITOR_RATE", 0.5)  # four at once
        with served(wheel) as closed:
            large = {**THUMB, "kind": "comment", "value": "x" * 70_000}
            assert self.post(closed, made["publishable"], large).status_code == 413
            answers = [self.post(closed, made["publishable"], THUMB).status_code for _ in range(4)]
            assert answers[-1] == 429


class TestOtherSites:
    def test_a_preflight_is_answered_for_who_may(self, closed: httpx.Client) -> None:
        ask = {"origin": SHOP, "access-control-request-method": "POST"}
        let = closed.options("/v1/feedback", headers=ask)
        assert let.status_code == 200
        assert let.headers["access-control-allow-origin"] == SHOP
        assert let.headers["access-control-allow-methods"] == "POST"
        assert "authorization" in let.headers["access-control-allow-headers"]
        assert let.headers["vary"] == "origin"
        assert not any("credentials" in name or value == "*" for name, value in let.headers.items())
        for path, change in (("/v1/feedback", {"origin": "https://evil.example"}), ("/v1/loops/support", {}),
                             ("/v1/feedback", {"access-control-request-method": "DELETE"}), ("/login", {}),
                             ("/v1/loops/support/predict", {})):  # fmt: skip
            refused = closed.options(path, headers={**ask, **change})
            assert refused.status_code in {403, 405}
            assert "access-control-allow-origin" not in refused.headers

    def test_origins_of_the_installation(self, wheel: Wheel, made: dict[str, Made]) -> None:
        wheel.settings = type(wheel.settings)(
            home=wheel.settings.home, origins="https://App.example, http://localhost:3000"
        )
        with served(wheel) as closed:
            for origin in ("https://app.example", "http://localhost:3000"):
                given = {**bearer(made["client"]), "origin": origin}
                asked = closed.post("/v1/loops/support/predict", json={"input": "x"}, headers=given)
                assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, origin)
            refused = closed.put("/v1/loops/x", headers={**bearer(made["admin"]), "origin": "https://app.example"})
            assert refused.status_code == 403  # what manages is for our own pages alone

    def test_an_error_can_be_read_by_the_page(self, closed: httpx.Client) -> None:
        refused = closed.post("/v1/feedback", json=THUMB, headers={"origin": SHOP})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, SHOP)


class TestOpen:
    def test_only_under_a_name_of_this_machine(self, http: httpx.Client) -> None:
        port = http.base_url.port
        for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "[::1]:1", "LOCALHOST.", "127.8.8.8"):
            assert b" 200 " in raw(http, "GET /v1/loops HTTP/1.1", f"host: {host}").split(b"\r\n")[0], host
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.nip.io", "localhost.evil.example", "0.0.0.0",
                     "[", "a@localhost:x", "192.168.1.5"):  # fmt: skip
            answer = raw(http, "GET /v1/loops HTTP/1.1", f"host: {host}")
            assert b" 421 " in answer.split(b"\r\n")[0], host
            assert b"EVERLOOP_HOSTS" in answer
        assert b" 200 " in raw(http, "GET /v1/loops HTTP/1.0").split(b"\r\n")[0]

    def test_a_name_can_be_given(self, wheel: Wheel) -> None:
        wheel.settings = type(wheel.settings)(home=wheel.settings.home, hosts="everloop.lan")
        with served(wheel) as http:
            assert b" 200 " in raw(http, "GET /v1/loops HTTP/1.1", "host: everloop.lan:8700").split(b"\r\n")[0]
            assert b" 421 " in raw(http, "GET /v1/loops HTTP/1.1", "host: evil.example").split(b"\r\n")[0]

    def test_pages_say_so(self, http: httpx.Client) -> None:
        assert "Open: there are no keys" in http.get("/").text
        assert http.get("/login", follow_redirects=False).headers["location"] == "/"

    def test_another_sites_page_changes_nothing(self, http: httpx.Client) -> None:
        for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
                        {"origin": f"{http.base_url}".rstrip("/") + ".evil.example"}):  # fmt: skip
            assert http.put("/v1/loops/x", headers=headers).status_code == 403, headers

    def test_a_caller_from_elsewhere_is_not_answered(self, wheel: Wheel) -> None:
        from everloop.server import create_app

        app = create_app(wheel, worker=False)

        async def ask(client: str) -> int:
            transport = httpx.ASGITransport(app=app, client=(client, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return (await http.get("/v1/loops")).status_code

        import asyncio

        assert [asyncio.run(ask(one)) for one in ("127.0.0.1", "::1", "192.168.1.7", "2001:db8::1")] == [
            200, 200, 403, 403,
        ]  # fmt: skip

    def test_the_first_key_is_not_made_over_http(self, http: httpx.Client, wheel: Wheel) -> None:
        refused = http.post("/v1/keys", json={"role": "admin"})
        assert refused.status_code == 403
        assert "everloop keys create --role admin" in refused.json()["error"]["message"]
        assert wheel.store.records.find(Key) == []


class TestLogin:
    def test_paste_look_leave(self, closed: httpx.Client, wheel: Wheel, made: dict[str, Made]) -> None:
        own = {"origin": str(closed.base_url).rstrip("/"), "accept": "text/html"}
        sent = closed.get("/loops/support", headers={"accept": "text/html"}, follow_redirects=False)
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/loops/support")
        form = closed.get(sent.headers["location"])
        assert 'value="/loops/support"' in form.text
        assert 'type="password"' in form.text
        wrong = closed.post("/login", data={"key": "evl_no"}, headers=own)
        assert wrong.status_code == 401
        assert "no such key" in wrong.text
        begun = closed.post("/login", data={"key": made["reviewer"].secret, "next": "/loops/support"}, headers=own,
                            follow_redirects=False)  # fmt: skip
        assert (begun.status_code, begun.headers["location"]) == (303, "/loops/support")
        cookie = begun.headers["set-cookie"]
        assert "HttpOnly; SameSite=Strict" in cookie
        assert made["reviewer"].secret not in cookie
        assert closed.get("/loops/support", headers={"accept": "text/html"}).status_code == 200  # the client kept it
        assert closed.get("/v1/loops/support").status_code == 200
        assert closed.get("/audit", headers={"accept": "text/html"}).status_code == 403
        assert closed.get("/login", follow_redirects=False).status_code == 303
        kept = dict(closed.cookies)
        assert closed.post("/logout", headers=own, follow_redirects=False).headers["location"] == "/login"
        closed.cookies.update(kept)  # whoever copied it has nothing
        assert closed.get("/v1/loops/support").status_code == 401
        actions = [row.action for row in wheel.store.records.find(Audit)]
        assert actions.count("login") == actions.count("logout") == 1

    def test_a_change_with_a_session_comes_from_our_page(self, closed: httpx.Client, made: dict[str, Made]) -> None:
        own = str(closed.base_url).rstrip("/")
        closed.post("/login", data={"key": made["developer"].secret}, headers={"origin": own})
        for headers in ({}, {"origin": "https://evil.example"}, {"origin": own, "sec-fetch-site": "cross-site"},
                        {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"}):  # fmt: skip
            assert closed.put("/v1/loops/x", headers=headers).status_code == 403, headers
        assert closed.put("/v1/loops/x", headers={"origin": own}).status_code == 200
        assert closed.put("/v1/loops/x", headers={"sec-fetch-site": "same-origin"}).status_code == 200

    def test_a_login_can_not_be_forced_on_somebody(self, closed: httpx.Client, made: dict[str, Made]) -> None:
        forced = closed.post("/login", data={"key": made["admin"].secret}, headers={"origin": "https://evil.example"})
        assert forced.status_code == 403

    def test_who_can_not_see_pages(self, closed: httpx.Client, made: dict[str, Made]) -> None:
        for role in ("client", "publishable"):
            answer = closed.post("/login", data={"key": made[role].secret})
            assert answer.status_code == 403
            assert "can&#39;t see pages" in answer.text
            assert "set-cookie" not in answer.headers

    def test_guessing_is_slowed_down_and_the_right_key_still_works(
        self, closed: httpx.Client, made: dict[str, Made]
    ) -> None:
        codes = [closed.post("/login", data={"key": f"evl_{i}"}).status_code for i in range(7)]
        assert codes == [401] * 5 + [429] * 2
        late = closed.post("/login", data={"key": "evl_x"})
        assert int(late.headers["retry-after"]) >= 1
        assert closed.post("/login", data={"key": made["admin"].secret}, follow_redirects=False).status_code == 303

    def test_it_leads_nowhere_else(self, closed: httpx.Client, made: dict[str, Made]) -> None:
        for next in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)",
                     "/login?next=/x", "/a\r\nset-cookie: x=y", "/ü"):  # fmt: skip
            begun = closed.post("/login", data={"key": made["admin"].secret, "next": next}, follow_redirects=False)
            assert begun.headers["location"] == "/"
            assert "x=y" not in str(begun.headers)

    def test_a_session_that_was_touched_is_none(self, closed: httpx.Client, made: dict[str, Made]) -> None:
        begun = closed.post("/login", data={"key": made["reviewer"].secret}, follow_redirects=False)
        name, value = re.match(r"(\w+)=([^;]+)", begun.headers["set-cookie"]).groups()  # type: ignore[union-attr]
        id, until, nonce, signature = value.split(".")
        for changed in (f"{made['admin'].key.id}.{until}.{nonce}.{signature}",
                        f"{id}.{int(until) + 9}.{nonce}.{signature}", f"{id}.{until}.{nonce}.{'0' * 64}",
                        "a.b.c.d", "...", "x" * 3000, ""):  # fmt: skip
            closed.cookies.clear()
            assert closed.get("/v1/loops", headers={"cookie": f"{name}={changed}"}).status_code == 401, changed
        assert closed.get("/v1/loops", headers={"cookie": f"a=b; {name}={value}"}).status_code == 200


def test_the_audit_log_says_who_and_what_and_no_more(closed: httpx.Client, wheel: Wheel, made: dict[str, Made]) -> None:
    dev, admin = bearer(made["developer"]), bearer(made["admin"])
    closed.put("/v1/loops/support", json={"labels": ["hush-hush", "b"]}, headers=dev)
    closed.put("/v1/loops/support", json={"labels": ["hush-hush", "b"]}, headers=dev)  # nothing changes: no row
    closed.put("/v1/loops/support", json={"labels": 7}, headers=dev)  # and none for what was refused
    closed.post("/v1/loops/support/predict", json={"input": "x", "subject": "anna"}, headers=dev)
    closed.delete("/v1/subjects/anna", headers=admin)
    new = closed.post("/v1/keys", json={"role": "client", "name": "n"}, headers=admin).json()
    closed.delete(f"/v1/keys/{new['key']['id']}", headers=admin)
    rows = closed.get("/v1/audit", headers=admin).json()["audit"]
    seen = [(row["by"], row["action"], row["target"]) for row in rows]
    me = made["admin"].key.id
    assert seen[:4] == [
        (me, "DELETE /v1/keys/{id}", new["key"]["id"]), (me, "POST /v1/keys", new["key"]["id"]),
        (me, "DELETE /v1/subjects/{subject}", ""), (made["developer"].key.id, "PUT /v1/loops/{name}", "support"),
    ]  # fmt: skip
    assert rows[3]["detail"] == "labels"
    text = json.dumps(rows)
    assert not any(word in text for word in ("anna", "hush", new["secret"], *(one.secret for one in made.values())))
    only = closed.get("/v1/audit", params={"loop": "support", "limit": 1}, headers=admin).json()["audit"]
    assert [row["loop"] for row in only] == ["support"]
    assert closed.get("/v1/audit", params={"limit": "0"}, headers=admin).status_code == 422
    page = closed.get("/audit", headers={**admin, "accept": "text/html"}).text
    assert "DELETE /v1/subjects/{subject}" in page
    assert closed.get("/v1/audit", headers=dev).status_code == 403


def test_an_errors_shape_is_the_dialects(closed: httpx.Client) -> None:
    refused = closed.post("/v1/chat/completions", json={"model": "x", "messages": []})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert isinstance(refused.json()["error"], dict)


def test_whose_request_it_is_behind_proxies() -> None:
    assert address_of("10.0.0.1", b"1.1.1.1, 2.2.2.2", 0) == "10.0.0.1"
    assert address_of("10.0.0.1", b"1.1.1.1, 2.2.2.2", 1) == "2.2.2.2"
    assert address_of("10.0.0.1", b"1.1.1.1, 2.2.2.2", 2) == "1.1.1.1"
    assert address_of("10.0.0.1", b"", 2) == "10.0.0.1"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.sampled_from("ab")), max_size=60), st.floats(0.1, 50.0),
       st.floats(1.0, 20.0))  # fmt: skip
def test_a_bucket_never_gives_more_than_its_rate(steps: list[tuple[float, str]], rate: float, burst: float) -> None:
    time = 0.0
    buckets = Buckets(clock=lambda: time)
    taken = {"a": 0, "b": 0}
    for pause, name in steps:
        time += pause
        wait = buckets.take(name, rate, burst)
        taken[name] += wait == 0.0
        assert wait >= 0.0
        assert taken[name] <= burst + rate * time + 1e-6
        if wait:
            time += wait + 1e-9
            assert buckets.take(name, rate, burst) < 1e-6
            taken[name] += 1


def test_many_names_cost_no_memory() -> None:
    time = 0.0
    buckets = Buckets(most=100, clock=lambda: time)
    for i in range(10_000):
        time += 0.001
        buckets.take(f"address {i}", 1.0)
    assert len(buckets) <= 101
