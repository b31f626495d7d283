"""The caller's mistakes are told to the caller, in one line, and what is right becomes the line the server takes."""

from typing import Any

import msgspec
import pytest

from everloop.client import Client
from everloop.client.events import feedback_event, interaction_event, said
from everloop.errors import InvalidInput
from tests.client.conftest import Dictionary


@pytest.fixture
def client(dictionary: Dictionary) -> Any:
    with Client("http://x", loop="desk", transport=dictionary) as made:
        yield made


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({}, "say one of comment="),
    ({"smile": 1}, "got smile"),
    ({"thumb": "up", "rating": 3}, "got thumb, rating"),
    ({"thumb": "sideways"}, "Invalid enum value 'sideways'"),
    ({"thumb": "up", "colour": "red"}, "a thumb has no 'colour'; it has"),
    ({"rating": "good"}, "Expected `float`"),
    ({"correction": "  "}, "a correction can't be blank"),
    ({"correction": None}, "Expected `str`"),
    ({"comment": "\ud800"}, "can't be sent as JSON"),
    ({"thumb": "up", "id": ""}, "id: must be 1 to 200 printable characters"),
    ({"thumb": "up", "priority": "urgent"}, "priority 'urgent': must be one of critical, normal, bulk"),
]


@pytest.mark.parametrize(("given", "says"), MISTAKES)
def test_a_mistake_in_feedback_is_one_line(client: Client, given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        client.feedback("i1", **given)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert client.stats().entered == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"input": None}, "needs an input"),
        ({"input": 3}, "Expected `str | object | array`"),
        ({"input": "x", "confidence": "high"}, "`confidence`"),
        ({"input": "x", "colour": 1}, "an interaction has no 'colour'"),
        ({"input": "x", "label": 3}, "label: expected a text"),
        ({"input": {"a": object()}}, "can't be sent as JSON"),
    ],
)
def test_a_mistake_in_an_interaction_is_one_line(client: Client, given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        client.log(**given)
    assert says in str(error.value)


def test_no_loop_and_no_url() -> None:
    with Client("http://127.0.0.1:9", close_seconds=0) as client, pytest.raises(InvalidInput, match="which loop"):
        client.log("x")
    with pytest.raises(InvalidInput, match="must start with http"):
        Client("localhost:8700")
    with pytest.raises(InvalidInput, match="no kind 'smile'"):
        Client("http://x", priorities={"smile": "bulk"})


def test_what_is_sent() -> None:
    kind, fields = said({"demonstration": "closed", "outcome": {"success": True}, "goal": "refund", "case": None})
    assert (kind, fields["outcome"]) == ("demonstration", {"success": True})
    event = feedback_event("i1", "thumb", {"value": True}, 1)
    assert msgspec.json.decode(event.body)["value"] == "up"
    assert msgspec.json.decode(event.body)["id"] == event.id
    event = interaction_event("a b/c", {"input": [1.0, 2.0], "label": "x"}, 1)
    assert event.path == "/v1/loops/a%20b%2Fc/interactions"
    assert set(msgspec.json.decode(event.body)) == {"input", "label", "id", "at"}


def test_what_changes_after_the_call_is_not_sent(client: Client, dictionary: Dictionary) -> None:
    context = {"channel": "web"}
    made = client.log("x", context=context)
    context["channel"] = "app"
    assert client.flush(5)
    assert msgspec.json.decode(dictionary.taken[made])["context"] == {"channel": "web"}
