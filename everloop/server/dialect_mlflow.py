"""MLflow's assessments, as its client creates, reads, changes and deletes them."""

from typing import Any

from everloop.errors import EverloopError, InvalidInput, NotFound
from everloop.ids import new_id
from everloop.interop import mlflow
from everloop.interop.judgement import optional_text
from everloop.server.dialects import OBJECT, Hearing, body_of
from everloop.server.table import Operation
from everloop.server.wire import Call, Reply, reply
from everloop.types import Comment, FeedbackFields


class Mlflow:
    """Handlers of MLflow's assessment endpoints."""

    def __init__(self, hearing: Hearing):
        self._hearing = hearing

    def operations(self) -> list[Operation]:
        """Its rows of the table."""
        op, says = Operation, mlflow.says
        every = "/api/3.0/mlflow/traces/{trace}/assessments"
        one = f"{every}/{{id}}"
        return [
            op("POST", every, "Assess a trace, as MLflow's client does.", self.create, OBJECT, OBJECT, "interop",
               bound=True, says=says),
            op("GET", one, "One assessment, as MLflow's client reads it.", self.read, OBJECT, None, "interop",
               bound=True, says=says),
            op("PATCH", one, "Change an assessment, as MLflow's client does.", self.change, OBJECT, OBJECT, "interop",
               bound=True, says=says),
            op("DELETE", one, "Take an assessment back, as MLflow's client does.", self.delete, OBJECT, OBJECT,
               "interop", bound=True, says=says, needs_body=False),
        ]  # fmt: skip

    async def create(self, call: Call) -> Reply:
        """A new assessment; one that overrides another takes its place."""
        given, trace = mlflow.assessment(body_of(call)), call.params["trace"]
        if (said := optional_text(given, "trace_id")) is not None and said != trace:
            raise InvalidInput(f"assessment.trace_id: {said[:60]!r} is not the trace of the address")
        overrides = optional_text(given, "overrides")
        if overrides is not None:
            await self._hearing.in_thread(self._found, trace, overrides, call)
        id = f"a-{new_id().replace('-', '')}"
        about = self._hearing.about(_targets(given, trace), call.key)
        fields = mlflow.feedback({"create_time": None, **given}, id, trace, about.interaction, about.declared)
        (state,) = await self._hearing.keep([(fields, about)], call)
        if isinstance(state, EverloopError):
            raise state
        if overrides is not None:  # kept in the new one's context; the old word no longer counts
            await self._hearing.in_thread(self._remove, overrides)
        made: Reply = await self._hearing.in_thread(self._shown, trace, id, call)
        return made

    def read(self, call: Call) -> Reply:
        """One assessment."""
        return self._shown(call.params["trace"], call.params["id"], call)

    def change(self, call: Call) -> Reply:
        """Replace the fields that the request names."""
        trace, id = call.params["trace"], call.params["id"]
        kept, why = self._found(trace, id, call)
        given = mlflow.merged(mlflow.shown_as(kept, id, why), body_of(call))
        about = self._hearing.about([kept.interaction], call.key)
        fields = mlflow.feedback(given, id, trace, about.interaction, about.declared)
        state = self._hearing.overwrite(self._hearing.build(fields, about, call))
        if isinstance(state, EverloopError):
            raise state
        return self._shown(trace, id, call)

    def delete(self, call: Call) -> Reply:
        """Take it back."""
        self._found(call.params["trace"], call.params["id"], call)
        self._remove(call.params["id"])
        return reply({})

    def _shown(self, trace: str, id: str, call: Call) -> Reply:
        kept, why = self._found(trace, id, call)
        return reply({"assessment": mlflow.shown_as(kept, id, why)})

    def _found(self, trace: str, id: str, call: Call) -> tuple[Any, str | None]:
        """The feedback an assessment is kept as, and its reason where that is a comment of its own; NotFound."""
        records = self._hearing.records
        kept: Any = records.get(FeedbackFields, id)
        why: Any = records.get(FeedbackFields, f"{id}.comment") if kept is not None else None
        if kept is None:
            held = {one.id: one for one in records.held()}
            kept, why = held.get(id), held.get(f"{id}.comment")
        if kept is None or kept.context.get("tool") != "mlflow" or kept.context.get("trace") != trace:
            raise NotFound(f"no assessment {id[:100]!r} of trace {trace[:100]!r}")
        self._hearing.about([kept.interaction], call.key)  # a key of one loop sees that loop's alone
        return kept, why.value if isinstance(why, Comment) else None

    def _remove(self, id: str) -> None:
        self._hearing.records.delete(FeedbackFields, [id, f"{id}.comment"])


def _targets(given: dict[str, Any], trace: str) -> list[str]:
    span = optional_text(given, "span_id")
    return [*([span] if span else []), mlflow.trace_of(trace)]
