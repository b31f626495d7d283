"""Langfuse's scores, ingestion batches and dataset items, as its clients (versions 2 to 5) send them."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from everloop.collect import build_interaction
from everloop.collect.consent import signalled, stored, under_gpc
from everloop.collect.incoming import check_label, imported_label
from everloop.errors import EverloopError, InvalidInput, NotFound, StoreError
from everloop.ids import new_id, now
from everloop.interop import langfuse
from everloop.interop.judgement import MAX_NAME, optional_text, text_field
from everloop.server.dialects import OBJECT, About, Hearing, Said, bind, body_of, limited, remember
from everloop.server.table import Operation
from everloop.server.wire import Call, Handler, Reply, one_line, reply
from everloop.types import FeedbackFields, Interaction, Key, LoopSpec

_LOOP = ("loop", "everloop.loop")  # of metadata, what names the loop


class Langfuse:
    """Handlers of Langfuse's endpoints."""

    def __init__(self, hearing: Hearing, version: str, spans: Handler | None = None):
        self._hearing = hearing
        self._version = version
        self._spans = spans
        self._lock = threading.Lock()
        # (the one loop of the key, trace) -> what was said of it, for generations that come later
        self._traces: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    def operations(self) -> list[Operation]:
        """Its rows of the table."""
        op, says, at = Operation, langfuse.says, "/api/public"
        rows = [
            op("POST", f"{at}/scores", "Score traces and observations, as Langfuse's clients do.", self.scores, OBJECT,
               OBJECT, "interop", bound=True, says=says,
               replies=((200, "One score is kept."), (202, "All are."), (207, "Some are."))),
            op("POST", f"{at}/ingestion", "A batch of events, as Langfuse's clients send them.", self.ingestion,
               OBJECT, OBJECT, "interop", bound=True, says=says, replies=((207, "How each went."),)),
            op("POST", f"{at}/dataset-items", "Add or change a dataset item: a labelled row of the golden split.",
               self.dataset_item, OBJECT, OBJECT, "interop", bound=True, says=says),
            op("POST", f"{at}/v2/datasets", "Datasets are loops: answers with the one it is.", self.dataset, OBJECT,
               OBJECT, "interop", bound=True, says=says),
            op("GET", f"{at}/projects", "Whose key it is; Langfuse's clients check theirs with it.", self.projects,
               OBJECT, None, "interop", bound=True, says=says),
            op("GET", f"{at}/health", "The server answers Langfuse's clients.", self.health, OBJECT, None, "interop",
               public=True, says=says),
        ]  # fmt: skip
        if self._spans is not None:
            rows.append(op("POST", f"{at}/otel/v1/traces", "Spans, as Langfuse's clients export them.",
                           self._spans, OBJECT, OBJECT, "telemetry", bound=True))  # fmt: skip
        return rows

    async def scores(self, call: Call) -> Reply:
        """One score, or a list of them (from version 5 on)."""
        given = body_of(call)
        if not isinstance(given, list):
            (state,) = await self._keep([given], call)
            if isinstance(state, EverloopError):
                raise state
            return reply({"id": state})
        limited(given)
        states = await self._keep(given, call)
        errors = [state for state in states if isinstance(state, EverloopError)]
        if not errors:
            return reply({"message": "Accepted"}, 202)
        said = [{"message": one_line(error)} for error in errors]
        return reply({"accepted": len(states) - len(errors), "rejected": len(errors), "errors": said}, 207)

    async def _keep(self, given: Sequence[Any], call: Call) -> list[str | EverloopError]:
        """Keep scores: the id of each, or what is wrong with it. Raises the StoreError if nothing could be written."""
        out: list[str | EverloopError] = []
        said: list[tuple[Said, About]] = []
        places: list[int] = []
        for one in given:
            try:
                ids = langfuse.score_targets(one)
                id = optional_text(one, "id") or new_id()
                about = self._hearing.about(ids, call.key)
                said.append((langfuse.score(one, f"langfuse.{id}", about.interaction, about.declared), about))
                places.append(len(out))
                out.append(id)
            except EverloopError as error:
                out.append(error)
        for place, state in zip(places, await self._hearing.keep(said, call), strict=True):
            if isinstance(state, StoreError):
                raise state
            if isinstance(state, EverloopError):
                out[place] = state
        return out

    async def ingestion(self, call: Call) -> Reply:
        """Events: each is answered for itself."""
        given = langfuse.events(body_of(call))
        limited(given)
        events: list[langfuse.Event] = []
        scores: list[langfuse.Event] = []
        done: list[str] = []
        failed: list[tuple[str, EverloopError]] = []
        for one in given:
            try:
                event = langfuse.event(one)
                if event.kind == "sdk-log":
                    done.append(event.id)
                elif event.kind == "score":
                    scores.append(event)
                else:
                    text_field(event.body, "id")
                    events.append(event)
            except EverloopError as error:
                failed.append((str(one.get("id") or "") if isinstance(one, dict) else "", error))
        refused = await self._hearing.in_thread(self._observe, langfuse.merge(events), call) if events else {}
        for event in events:
            trouble = refused.get(event.body["id"])
            failed.append((event.id, trouble)) if trouble else done.append(event.id)
        for event, state in zip(scores, await self._keep([event.body for event in scores], call), strict=True):
            failed.append((event.id, state)) if isinstance(state, EverloopError) else done.append(event.id)
        return reply({
            "successes": [{"id": id, "status": 201} for id in done],
            "errors": [{"id": id, "status": error.status, "message": one_line(error),
                        "error": type(error).__name__} for id, error in failed],
        }, 207)  # fmt: skip

    def _observe(self, merged: langfuse.Merged, call: Call) -> dict[str, EverloopError]:
        """Write what traces and observations say (blocks); what is wrong, by the id of the trace or observation."""
        refused: dict[str, EverloopError] = {}
        if self._hearing.elsewhere(merged.others):
            self._hearing.put_right(merged.others)
        about: dict[str, list[str]] = {}  # generations of the batch, by trace
        for id, body in merged.generations.items():
            trace_id = body.get("traceId")
            if trace_id is None and (known := self._hearing.records.get(Interaction, id)) is not None:
                trace_id = known.trace
            if isinstance(trace_id, str):
                about.setdefault(trace_id, []).append(id)
            try:
                self._write(body, self._trace(trace_id, merged.traces, call.key), call)
            except StoreError:
                raise
            except EverloopError as error:
                refused[id] = error
        for id, trace in merged.traces.items():
            try:
                self._observe_trace(id, trace, about.get(id, []), call)
            except StoreError:
                raise
            except EverloopError as error:
                refused[id] = error
        return refused

    def _observe_trace(self, id: str, trace: dict[str, Any], written: Sequence[str], call: Call) -> None:
        """What is said of a trace goes to its generations; without any, a trace that was asked something is one."""
        there = [one for one in self._hearing.records.find(Interaction, trace=id) if one.id != id]
        for one in there:
            if one.id not in written:
                self._write({"id": one.id, "traceId": id}, trace, call)
        if not there and (trace.get("input") is not None or self._hearing.records.get(Interaction, id)):
            self._write({**trace, "traceId": id}, trace, call)
        with self._lock:
            name = (_only(call.key), id)
            remember(self._traces, {name: {**self._traces.get(name, {}), **trace}})

    def _trace(self, id: Any, traces: Mapping[str, dict[str, Any]], key: Key | None) -> dict[str, Any]:
        """What is known of a trace, from this batch and those before it; for a key of one loop, from those of it."""
        if not isinstance(id, str):
            return {}
        with self._lock:
            found = {**self._traces.get((_only(key), id), {}), **traces.get(id, {})}
        if not found:
            others = self._hearing.records.find(Interaction, _only(key) or None, trace=id, newest=True, limit=1)
            found = {"userId": others[0].subject, "sessionId": others[0].session} if others else {}
        return {**found, "id": id}

    def _write(self, body: Mapping[str, Any], trace: Mapping[str, Any], call: Call) -> None:
        records = self._hearing.records
        known = records.get(Interaction, text_field(body, "id"))
        if known is not None:
            bind(call.key, known.loop)
            spec = self._hearing.wheel.get(known.loop).spec
        else:
            spec = self._spec(body, trace, call.key)
        fields = langfuse.interaction(body, trace, None if known is None else _fields(known))
        if signalled(call.header("sec-gpc")):  # what an earlier request may have granted, this one does not
            fields["consent"] = under_gpc(None)
        made = build_interaction(spec, fields, self._hearing.wheel.door)
        if not stored(made):
            return
        if known is None:
            records.put(made)
            return
        counts = {kind: max(known.redacted.get(kind, 0), made.redacted.get(kind, 0))
                  for kind in {**known.redacted, **made.redacted}}  # fmt: skip
        whole = msgspec.structs.replace(made, redacted=counts, attachments=(*known.attachments, *made.attachments))
        if whole != known:
            records.replace(whole)

    def _spec(self, body: Mapping[str, Any], trace: Mapping[str, Any], key: Key | None) -> LoopSpec:
        said = [of.get("metadata") for of in (body, trace)]
        named = [metadata.get(name) for metadata in said if isinstance(metadata, dict) for name in _LOOP]
        return self._hearing.loop_of([*named, trace.get("name"), body.get("name")], key)

    def dataset_item(self, call: Call) -> Reply:
        """Upsert on id; ARCHIVED takes it away."""
        given = body_of(call)
        if not isinstance(given, dict):
            raise InvalidInput("send an object")
        records, own = self._hearing.records, optional_text(given, "id") or new_id()
        id, spec = f"langfuse.{own}", self._dataset(given, "datasetName", call.key)
        status = given.get("status") or "ACTIVE"
        if status not in ("ACTIVE", "ARCHIVED"):
            raise InvalidInput("status: ACTIVE or ARCHIVED")
        if (there := records.get(Interaction, id)) is not None:
            bind(call.key, there.loop)
        if status == "ARCHIVED":
            records.delete(FeedbackFields, [f"{id}.label"])
            records.delete(Interaction, [id])
        else:
            fields, answer = langfuse.dataset_item(given, id)
            if signalled(call.header("sec-gpc")):
                fields["consent"] = under_gpc(None)
            made = build_interaction(spec, fields, self._hearing.wheel.door)
            if answer is None:
                records.delete(FeedbackFields, [f"{id}.label"])
                records.replace(made)
            else:
                check_label(answer, spec.labels, spec.name)
                records.replace(made, imported_label(spec, made, answer, "golden", self._hearing.wheel.door))
        stamp, name = langfuse.stamp(now()), text_field(given, "datasetName", MAX_NAME)
        return reply({
            "id": own, "status": status, "input": given.get("input"), "expectedOutput": given.get("expectedOutput"),
            "metadata": given.get("metadata"), "sourceTraceId": given.get("sourceTraceId"),
            "sourceObservationId": given.get("sourceObservationId"), "datasetId": spec.name, "datasetName": name,
            "createdAt": stamp, "updatedAt": stamp, "mediaReferences": [],
        })  # fmt: skip

    def dataset(self, call: Call) -> Reply:
        """A dataset is a loop: its items are the golden split of that loop. None is made here."""
        given = body_of(call)
        if not isinstance(given, dict):
            raise InvalidInput("send an object")
        spec = self._dataset(given, "name", call.key)
        stamp = langfuse.stamp(spec.at)
        return reply({
            "id": spec.name, "name": text_field(given, "name", MAX_NAME), "description": given.get("description"),
            "metadata": given.get("metadata"), "projectId": "everloop", "createdAt": stamp, "updatedAt": stamp,
            "inputSchema": given.get("inputSchema"), "expectedOutputSchema": given.get("expectedOutputSchema"),
        })  # fmt: skip

    def _dataset(self, given: Mapping[str, Any], field: str, key: Key | None) -> LoopSpec:
        metadata = given.get("metadata")
        named = [metadata.get(name) for name in _LOOP] if isinstance(metadata, dict) else []
        try:
            return self._hearing.loop_of([*named, text_field(given, field, MAX_NAME)], key)
        except EverloopError as error:
            if isinstance(error, InvalidInput) or error.status != 400:
                raise
            raise NotFound(f"{field}: no loop of that name; a dataset is a loop. {one_line(error)}") from None

    async def projects(self, call: Call) -> Reply:
        """The one project there is: this installation."""
        of = {"id": "everloop", "name": "everloop"}
        return reply({"data": [{**of, "organization": of, "metadata": {}}]})

    async def health(self, call: Call) -> Reply:
        """It answers."""
        return reply({"status": "OK", "version": self._version})


def _only(key: Key | None) -> str:
    return key.loop if key is not None else ""


def _fields(known: Interaction) -> dict[str, Any]:
    """What is stored of an interaction, as the fields it would be built from again."""
    fields: dict[str, Any] = msgspec.to_builtins(known)
    for name in ("loop", "redacted", "attachments"):
        fields.pop(name, None)  # what is as it is by default is left out
    return fields
