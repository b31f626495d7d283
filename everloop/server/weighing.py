"""Who answers a loop's reviews and how far each one's word goes, as JSON. Plain: each in a thread."""

from everloop.server.table import Operation
from everloop.server.wire import Call, Reply, reply
from everloop.turn.believing import Annotators, annotators
from everloop.wheel import Wheel


class Weighing:
    """The handler. A reviewer sees what is known of them alone: nobody is to be compared by their colleagues."""

    def __init__(self, wheel: Wheel):
        self._wheel = wheel

    def operations(self) -> list[Operation]:
        """The row of the table."""
        return [
            Operation("GET", "/v1/loops/{name}/annotators", "Who answers the loop's reviews, how far they agree, and "
                      "how far each one's word goes. A reviewer's key sees the row of the annotator who is called like "
                      "the key.", self.listed, Annotators, tag="people"),
        ]  # fmt: skip

    def listed(self, call: Call) -> Reply:
        """Everybody, or oneself."""
        loop = self._wheel.get(call.params["name"])
        alone = call.key is not None and call.key.role == "reviewer"
        only = call.key.name if call.key is not None and alone else None
        return reply(annotators(self._wheel.store, loop.name, only))
