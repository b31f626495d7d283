"""`everloop keys` and `everloop audit`: by hand, on the machine."""

import json
import re
import socket
from pathlib import Path

import pytest

from everloop.keys import well_formed


def secret_of(ran) -> str:
    first = ran.out.splitlines()[0]
    assert well_formed(first), ran
    return first


def test_the_first_key_is_made_here_and_shown_once(run, home: Path):
    made = run("keys", "create", "--role", "admin", "--name", "me")  # before anything else: the folder is made
    secret = secret_of(made)
    assert "shown once" in made.out
    assert "everybody needs a key" in made.out
    listed = run("keys")
    assert secret not in listed.out
    assert re.search(r"admin +me +all +live", listed.out)
    document = run("keys", "list", "--json").document
    assert [(one["role"], one["state"]) for one in document] == [("admin", "live")]
    assert "hash" not in document[0]
    assert "secret" not in document[0]
    assert all(secret.encode() not in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_json_holds_the_secret_for_scripts(support):
    words = "--role publishable --origin https://Shop.example --origin http://localhost:3000 --loop support"
    made = support("keys", "create", *words.split(), "--rate", "50", "--days", "90", "--json").document
    assert well_formed(made["secret"])
    assert made["origins"] == ["https://shop.example", "http://localhost:3000"]
    assert (made["loop"], made["rate"], made["state"]) == ("support", 50.0, "ends")


def test_rotate_and_revoke(support):
    old = support("keys", "create", "--role", "client", "--json").document
    rotated = support("keys", "rotate", old["id"], "--grace", "2h")
    new = secret_of(rotated)
    assert new != old["secret"]
    assert f"The old one, {old['id']}, works until" in rotated.out
    id = new.split("_")[1]
    assert "was rotated already" in support("keys", "rotate", old["id"]).mistake
    assert "works no more" in support("keys", "rotate", id, "--grace", "0").out
    assert {one["state"] for one in support("keys", "--json").document} == {"ends", "ended", "live"}
    gone = support("keys", "revoke", old["id"])
    assert "it stops within a second" in gone.out
    assert "no admin key works any more" in gone.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["create"], "--role: one of admin"),
        (["create", "--role", "king"], "invalid choice"),
        (["create", "--role", "publishable"], "--origin https://shop.example"),
        (["create", "--role", "publishable", "--origin", "*"], "without a path and without *"),
        (["create", "--role", "client", "--origin", "https://a.example"], "must never be in a web page"),
        (["create", "--role", "client", "--loop", "nowhere"], "no loop called 'nowhere'"),
        (["create", "--role", "admin", "--loop", "support"], "for all loops"),
        (["create", "--role", "client", "--rate", "0"], "more than 0"),
        (["create", "--role", "client", "--days", "-1"], "more than 0"),
        (["create", "--role", "client", "--name", "a\nb"], "printable"),
        (["create", "evl_x", "--role", "client"], "takes no id"),
        (["rotate"], "which one?"),
        (["rotate", "nobody1234"], "see: everloop keys list"),
        (["rotate", "nobody1234", "--grace", "soon"], "24h, 30m, 7d"),
        (["rotate", "nobody1234", "--grace", "10"], "24h, 30m, 7d"),
        (["revoke", "evl_0123456789_secret"], "not an id"),
        (["list", "--role", "client"], "is for: everloop keys create"),
        (["revoke", "x", "--grace", "1h"], "is for: everloop keys rotate"),
    ],
)
def test_a_slip_is_one_line(support, words, says):
    said = support("keys", *words).mistake
    assert says in said
    assert "0123456789_secret" not in said


def test_what_is_done_by_hand_is_in_the_audit_log(support):
    support("init", "support", "--labels", "card_arrival,card_lost")
    support("init", "support", "--labels", "card_arrival,card_lost")  # changes nothing: no row
    support("predict", "support", "x", "--subject", "anna")
    support("forget", "anna", "--yes")
    id = support("keys", "create", "--role", "client", "--json").document["id"]
    support("keys", "revoke", id)
    rows = support("audit", "--json").document
    assert [(row["by"], row["action"], row["target"]) for row in rows] == [
        ("cli", "key.revoke", id), ("cli", "key.create", id), ("cli", "forget", ""), ("cli", "init", "support"),
        ("cli", "init", "support"),
    ]  # fmt: skip
    assert "anna" not in json.dumps(rows)
    assert "interaction" in rows[2]["detail"]
    assert [row["action"] for row in support("audit", "support", "--json").document] == ["init", "init"]
    assert support("audit", "--by", "open", "--json").document == []
    assert "key.revoke" in support("audit", "--limit", "1").out
    assert "must be 1 or more" in support("audit", "--limit", "0").mistake


def test_another_address_needs_a_key(support):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused = support("up", "--host", "0.0.0.0", "--port", str(port))
    assert "make a key first (everloop keys create --role admin) or use 127.0.0.1" in refused.mistake
