"""Handlers of what people said once about the use of their data. Plain functions: each runs in a thread."""

import msgspec

from everloop.collect import Preferred
from everloop.server.bodies import ConsentGiven, ConsentHeld
from everloop.server.table import Operation
from everloop.server.wire import Call, Reply, decode, reply
from everloop.wheel import Wheel


class Agreeing:
    """A person's consent, past and to come."""

    def __init__(self, wheel: Wheel):
        self._wheel = wheel

    def operations(self) -> list[Operation]:
        """The rows of the table."""
        path = "/v1/subjects/{subject}/consent"
        return [
            Operation("PUT", path, "A person allows or forbids that their data is learned from, or shared; what is "
                      "forbidden counts for the past, too, from the next turn on.", self.put, ConsentHeld, ConsentGiven,
                      "collect"),
            Operation("GET", path, "What a person has said so far.", self.get, ConsentHeld, tag="collect"),
        ]  # fmt: skip

    def put(self, call: Call) -> Reply:
        """Write it down, and take it out of the past."""
        given = msgspec.structs.asdict(decode(call.body, ConsentGiven))
        said = {purpose: allowed for purpose, allowed in given.items() if allowed is not msgspec.UNSET}
        return _told(self._wheel.consent(call.params["subject"], **said))

    def get(self, call: Call) -> Reply:
        """What was said."""
        return _told(self._wheel.consent(call.params["subject"]))


def _told(held: Preferred) -> Reply:
    return reply(ConsentHeld(held.allows, held.interactions, held.feedback, held.reviews))
