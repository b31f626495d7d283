"""Phoenix's annotations, as its client sends them."""

from everloop.errors import EverloopError
from everloop.ids import new_id
from everloop.interop import phoenix
from everloop.server.dialects import OBJECT, Hearing, Said, body_of, limited
from everloop.server.table import Operation
from everloop.server.wire import Call, Reply, reply


class Phoenix:
    """Handlers of Phoenix's endpoints: all annotations of a request are taken, or none."""

    def __init__(self, hearing: Hearing):
        self._hearing = hearing

    def operations(self) -> list[Operation]:
        """Its rows of the table."""
        op, says = Operation, phoenix.says
        sync = (("sync", "true: answer with the ids"),)
        return [
            op("POST", "/v1/span_annotations", "Annotate spans, as Phoenix's client does.", self.spans, OBJECT, OBJECT,
               "interop", query=sync, bound=True, says=says),
            op("POST", "/v1/trace_annotations", "Annotate traces, as Phoenix's client does.", self.traces, OBJECT,
               OBJECT, "interop", query=sync, bound=True, says=says),
            op("POST", "/v1/span_notes", "Leave a note on a span, as Phoenix's client does.", self.note, OBJECT,
               OBJECT, "interop", bound=True, says=says),
        ]  # fmt: skip

    async def spans(self, call: Call) -> Reply:
        """Annotations of spans."""
        return await self._take(call, "span")

    async def traces(self, call: Call) -> Reply:
        """Annotations of traces."""
        return await self._take(call, "trace")

    async def note(self, call: Call) -> Reply:
        """A note: each is a comment of its own."""
        given = body_of(call)
        fields = phoenix.note(given, f"phoenix.{new_id()}")
        about = self._hearing.about([fields["interaction"]], call.key)
        (state,) = await self._hearing.keep([([fields], about)], call)
        if isinstance(state, EverloopError):
            raise state
        return reply({"data": {"id": fields["id"]}})

    async def _take(self, call: Call, target: phoenix.Target) -> Reply:
        given = phoenix.annotations(body_of(call))
        limited(given)
        said = []
        for one in given:
            about = self._hearing.about([phoenix.about(one, target)], call.key)
            fields: Said = phoenix.feedback(one, target, about.interaction, about.declared)
            self._hearing.build(fields, about, call)  # all of them are read before the first is written
            said.append((fields, about))
        for state in await self._hearing.keep(said, call):
            if isinstance(state, EverloopError):
                raise state
        # Phoenix answers without ids unless asked to wait; ours are durable by now either way.
        wait = call.query.get("sync", "").lower() in {"true", "1"}
        return reply({"data": [{"id": fields[0]["id"]} for fields, _ in said] if wait else []})
