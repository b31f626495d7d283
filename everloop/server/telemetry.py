"""OpenTelemetry in: spans of models' calls become interactions, evaluations of them feedback. Traces and logs alone.

An exporter needs nothing but the address: ``OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:8700``. What is acknowledged
is on disk; the same batch again is known. The other spans of a trace are skipped: the header ``x-everloop-taken`` of
the answer says what became of all of them.
"""

import asyncio
import re
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from everloop.auditing import acting, entry
from everloop.collect import build_interaction, may_hold
from everloop.collect.consent import signalled, stored, under_gpc
from everloop.errors import Conflict, EverloopError, InvalidInput, NotFound, StoreError, TooLarge, UserError
from everloop.interop import otlp
from everloop.interop.judgement import Judgement, feedback_of
from everloop.interop.spans import NO_CONTENT, Reading, is_ours, read_spans, summary
from everloop.server.dialects import About, Hearing, Said, bind
from everloop.server.table import Operation
from everloop.server.wire import JSON, BadRequest, Call, Reply, one_line
from everloop.types import Interaction, Key, LoopSpec
from everloop.wheel import Wheel

PROTOBUF = "application/x-protobuf"
LONG_BODY = 4 * 1024  # bytes from which a batch is read in a thread: a span is about 1 kB, and takes up to 0.4 ms
MOST_LOOPS = 100  # telemetry declares no loop where there are so many: a name that varies would make one a call
BATCH = 500  # records in one group commit
UNNAMED = "telemetry"  # the loop of a service without a name
RETRY_SECONDS = 5
_MOST_FILES = 100  # of gzip, one behind the other in one body
_REASONS = 3  # different ones that an answer lists
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 413: 8, 415: 3, 422: 3, 429: 8, 503: 14}  # HTTP's status as gRPC's
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # what zlib calls these encodings


class ExportRequest(msgspec.Struct, rename="camel"):
    """An ExportTraceServiceRequest or ExportLogsServiceRequest of OTLP, in JSON or protobuf, gzipped or not."""

    resource_spans: list[dict[str, Any]] = []
    resource_logs: list[dict[str, Any]] = []


class PartialSuccess(msgspec.Struct, rename="camel"):
    """What was refused, and why; all else is on disk."""

    error_message: str = ""
    rejected_spans: str = "0"
    rejected_log_records: str = "0"


class Exported(msgspec.Struct, rename="camel"):
    """An ExportTraceServiceResponse or ExportLogsServiceResponse, in the encoding of the request."""

    partial_success: PartialSuccess | None = None


class Unsupported(UserError):
    """A content type or encoding that OTLP does not have."""

    status = 415


class Unavailable(EverloopError):
    """The store can't write now; exporters try again after this status."""

    status = 503
    headers = ((b"retry-after", str(RETRY_SECONDS).encode()),)


class Format(NamedTuple):
    """One of OTLP's requests: how it is read and answered."""

    protobuf: Callable[[bytes], list[otlp.Span]]
    json: Callable[[bytes], list[otlp.Span]]
    answer: Callable[[int, str], tuple[bytes, bytes]]


TRACES = Format(otlp.read_protobuf, otlp.read_json, otlp.trace_answer)
LOGS = Format(otlp.read_logs_protobuf, otlp.read_logs_json, otlp.logs_answer)


class Came(NamedTuple):
    """What a request holds, each interaction with the loop it goes to."""

    interactions: list[tuple[str, Reading]]
    scores: list[Judgement]
    skipped: list[str]  # what each was instead
    refused: list[str]  # why
    elsewhere: dict[str, str]  # spans that are no interaction -> what an annotation of one is of: its trace, or the
    # answer that our own gateway gave
    ours: list[tuple[str, otlp.Span]]  # spans without messages, and the answer of our own gateway that each may be of


class Telemetry:
    """Handlers of what exporters send."""

    def __init__(self, wheel: Wheel, hearing: Hearing):
        self._wheel = wheel
        self._hearing = hearing
        self._declaring = threading.Lock()

    def operations(self) -> list[Operation]:
        """What this adds to the table."""
        loop = "/v1/loops/{name}"
        replies = ((200, "Everything was taken, but for what `partialSuccess` says."),)
        found = [
            Operation("POST", f"{base}/{what}", does.format(of), handler, Exported, ExportRequest, "telemetry",
                      replies=replies, bound=True, says=_says, also=(PROTOBUF,))
            for base, of in (("/v1", ""), (loop, " of one loop"))
            for what, handler, does in (
                ("traces", self.traces, "Take OpenTelemetry's spans of models' calls{} (OTLP over HTTP)."),
                ("logs", self.logs, "Take OpenTelemetry's events of models' calls and evaluations{} (OTLP over HTTP)."),
            )
        ]  # fmt: skip
        return [
            *found,
            Operation("POST", "/v1/metrics", "Says that metrics are not taken.", self.metrics, Exported,
                      tag="telemetry", bound=True, says=_says),
        ]  # fmt: skip

    async def traces(self, call: Call) -> Reply:
        """Spans, as protobuf or JSON."""
        return await self._answered(call, TRACES)

    async def logs(self, call: Call) -> Reply:
        """Log records: the events that hold messages and evaluations."""
        return await self._answered(call, LOGS)

    async def metrics(self, call: Call) -> Reply:
        """Nothing to learn from."""
        raise NotFound("metrics are not taken, only traces and logs: set OTEL_METRICS_EXPORTER=none")

    async def _answered(self, call: Call, format: Format) -> Reply:
        try:
            return await self._take(call, format)
        except EverloopError as error:
            if call.media != PROTOBUF:
                raise
            message, headers = one_line(error), getattr(error, "headers", ())
            return Reply(error.status, otlp.failure_status(_code(error.status), message), PROTOBUF.encode(), headers)

    async def _take(self, call: Call, format: Format) -> Reply:
        only = self._wheel.get(call.params["name"]).name if "name" in call.params else call.header("x-everloop-loop")
        if only:
            bind(call.key, only)
        coded = call.header("content-encoding").strip().lower() not in {"", "identity"}
        slow = coded or len(call.body) > LONG_BODY or may_hold(call.body) or b"blob" in call.body
        if slow:
            came = await self._hearing.in_thread(self._read, call, format, only)
        else:
            came = self._read(call, format, only)
        specs = self._hearing.specs
        missing = {name for name, _ in came.interactions} - specs.keys()
        declared = await self._hearing.in_thread(self._declare, missing, call.key) if missing else {}
        build = self._built, came, {**specs, **declared}, signalled(call.header("sec-gpc"))
        made = await self._hearing.in_thread(*build) if slow else build[0](*build[1:])
        told = await self._write(made, came, call.key)
        if came.ours:
            told += await self._hearing.in_thread(self._through_ours, came, call.key)
        if self._hearing.elsewhere(came.elsewhere):
            await self._hearing.in_thread(self._hearing.put_right, came.elsewhere)
        told += await self._keep(came, call) if came.scores else []
        protobuf, json = format.answer(len(came.refused), _reasons(came.refused))
        became = [
            *filter(None, told),
            *(f"skipped {what}" for what in came.skipped),
            *("refused" for _ in came.refused),
        ]
        said = (b"x-everloop-taken", summary(became).encode())
        if call.media == PROTOBUF:
            return Reply(200, protobuf, PROTOBUF.encode(), (said,))
        return Reply(200, json, JSON, (said,))

    def _read(self, call: Call, format: Format, only: str) -> Came:
        """The spans of a request, sorted by what becomes of them."""
        read = {PROTOBUF: format.protobuf, "application/json": format.json}.get(call.media)
        if read is None:
            raise Unsupported(f"content type {call.media[:60]!r}: send {PROTOBUF} or application/json")
        body = inflated(call.body, call.header("content-encoding"), self._wheel.settings.max_body_bytes)
        came = Came([], [], [], [], {}, [])
        for reading in read_spans(read(body)):
            came.scores.extend(reading.scores)
            if reading.refused:
                came.refused.append(reading.refused)
            elif reading.ours:
                came.ours.append((reading.ours, reading.span))
            elif reading.interaction is None:
                came.elsewhere[reading.span.id] = reading.span.trace
                if not reading.scores:
                    came.skipped.append(reading.skipped)
            else:
                known = None
                if reading.interaction["id"] != reading.span.id:  # an annotation of the span is of our own answer
                    came.elsewhere[reading.span.id] = reading.interaction["id"]
                    known = self._ours(reading.interaction["id"], call.key)
                try:
                    came.interactions.append((known.loop if known else _loop_of(reading, only, call.key), reading))
                except UserError as error:
                    came.refused.append(one_line(error))
        return came

    def _declare(self, names: set[str], key: Key | None) -> dict[str, LoopSpec | UserError]:
        """The loops of these names, made where they are not there, or why they can't be."""
        found: dict[str, LoopSpec | UserError] = {}
        with self._declaring:
            for name in sorted(names):
                there = self._hearing.records.get(LoopSpec, name)
                try:
                    if there is None and self._hearing.records.count(LoopSpec) >= MOST_LOOPS:
                        raise InvalidInput(f"no loop {name!r}; telemetry makes at most {MOST_LOOPS}: declare it first")
                    found[name] = there or self._made(name, key)
                except UserError as error:
                    found[name] = error
        return found

    def _made(self, name: str, key: Key | None) -> LoopSpec:
        """A new loop, and that it was made by a first span."""
        row = entry("open" if key is None else key.id, "telemetry.loop", target=name, loop=name)
        with acting(self._hearing.records, row):
            return self._wheel.loop(name, task="chat").spec

    def _built(self, came: Came, specs: dict[str, LoopSpec | UserError], opted_out: bool) -> list[Interaction]:
        """The interactions to write; why others are not is added to what was refused."""
        made = []
        for name, reading in came.interactions:
            fields = dict(reading.interaction or {})
            try:
                spec = specs[name]
                if isinstance(spec, UserError):
                    raise spec
                if opted_out:
                    fields["consent"] = under_gpc(fields.get("consent"))
                one = build_interaction(spec, fields, self._wheel.door)
            except UserError as error:
                came.refused.append(one_line(error))
                continue
            if stored(one):
                made.append(one)
            else:
                came.skipped.append("without-consent")
        return made

    async def _write(self, made: list[Interaction], came: Came, key: Key | None) -> list[str]:
        """Write them, and say of each whether it is new; Unavailable where the store can't."""
        told: list[str] = []
        for batch in _batches(made):
            try:
                receipts = await self._hearing.commits.write(batch)
            except UserError:  # one is in conflict: each on its own, so that it costs only itself
                told += await asyncio.gather(*(self._write_one(one, came, key) for one in batch))
            except StoreError as error:
                raise Unavailable(one_line(error)) from error
            else:
                told += [f"interactions {receipt}" for receipt in receipts]
        return told

    async def _write_one(self, one: Interaction, came: Came, key: Key | None) -> str:
        try:
            return f"interactions {(await self._hearing.commits.write([one]))[0]}"
        except Conflict as error:
            if is_ours(one.id):
                await self._hearing.in_thread(self._traced, one.id, one.trace, key)
                return "interactions known"
            came.refused.append(one_line(error))
        except UserError as error:
            came.refused.append(one_line(error))
        except StoreError as error:
            raise Unavailable(one_line(error)) from error
        return ""

    def _traced(self, id: str, trace: str | None, key: Key | None) -> bool:
        """Our own gateway has kept this answer already, and knows more of it; but for the trace it is part of.

        Its loop is the one that was asked, whatever the service that asked calls itself. False if it is not there, or
        of another loop than the key's.
        """
        if (known := self._ours(id, key)) is None:
            return False
        if known.trace is None:
            self._hearing.records.replace(msgspec.structs.replace(known, trace=trace))
        return True

    def _ours(self, id: str, key: Key | None) -> Interaction | None:
        """The answer of our own gateway, where the key may know of it."""
        known = self._hearing.records.get(Interaction, id)
        return known if known is not None and (key is None or key.loop in {"", known.loop}) else None

    def _through_ours(self, came: Came, key: Key | None) -> list[str]:
        """What became of spans that have no messages because our own gateway has them."""
        told = []
        for id, span in came.ours:
            if self._traced(id, span.trace, key):
                came.elsewhere[span.id] = id
                told.append("interactions known")
            else:
                came.refused.append(NO_CONTENT)
        return told

    async def _keep(self, came: Came, call: Call) -> list[str]:
        """Write what was said of answers, as feedback."""
        said = await self._hearing.in_thread(self._judged, came, call.key)
        told = []
        for result in await self._hearing.keep(said, call):
            if isinstance(result, StoreError):
                raise Unavailable(one_line(result)) from result
            if isinstance(result, EverloopError):
                came.refused.append(one_line(result))
            else:
                told.append(f"feedback {result}")
        return told

    def _judged(self, came: Came, key: Key | None) -> list[tuple[Said, About]]:
        found = []
        for one in came.scores:
            try:
                about = self._hearing.about([one.interaction], key)
                found.append((feedback_of(one, about.declared), about))
            except UserError as error:
                came.refused.append(one_line(error))
        return found


def inflated(body: bytes, coding: str, limit: int) -> bytes:
    """A body as it was before it was compressed; TooLarge beyond `limit` bytes, without having made more of them.

    >>> import gzip
    >>> inflated(gzip.compress(b"spans"), "gzip", 100), inflated(b"spans", "", 100)
    (b'spans', b'spans')
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return body
    if coding not in _WINDOW:
        raise Unsupported(f"content encoding {coding[:40]!r}: send gzip, deflate or none")
    out: list[bytes] = []
    left = limit
    while body:  # gzip files may stand one behind the other
        inflating = zlib.decompressobj(_WINDOW[coding])
        try:
            part = inflating.decompress(body, left + 1)
        except zlib.error:
            raise BadRequest(f"the body is not {coding}") from None
        left -= len(part)
        if left < 0:
            raise TooLarge(f"the body is over {limit:,} bytes unpacked (EVERLOOP_MAX_BODY_BYTES); send less at once")
        if not inflating.eof:
            raise BadRequest(f"the body is cut off: its {coding} has no end")
        out.append(part)
        body = inflating.unused_data
        if len(out) > _MOST_FILES:  # each costs a copy of what is left
            raise BadRequest(f"the body is more than {_MOST_FILES} files of {coding} in a row; send one")
    return b"".join(out)


def loop_name(service: str) -> str:
    """A service's name as a loop's; empty if nothing of it is left.

    >>> loop_name("Checkout Bot (EU)"), loop_name("unknown_service:python"), loop_name("客服")
    ('checkout-bot-eu', 'unknown_service-python', '')
    """
    return re.sub(r"[^a-z0-9_]+", "-", service.lower()).strip("-_")[:63]


def _loop_of(reading: Reading, only: str, key: Key | None) -> str:
    """Which loop: the request's, the span's own, the key's, the service's. InvalidInput where it has no name."""
    if only:
        return only
    if reading.loop:
        bind(key, reading.loop)
        return reading.loop
    if key is not None and key.loop:
        return key.loop
    name = loop_name(reading.service) if reading.service else UNNAMED
    if not name:
        raise InvalidInput(f"service.name {reading.service!r} can't be a loop's name: set the attribute everloop.loop")
    return name


def _batches(made: Sequence[Interaction]) -> Iterator[Sequence[Interaction]]:
    for start in range(0, len(made), BATCH):
        yield made[start : start + BATCH]


def _reasons(refused: Sequence[str]) -> str:
    """The reasons, each once and the first few of them, in one line."""
    unlike = list(dict.fromkeys(refused))
    more = f"; and {len(unlike) - _REASONS} other reasons" if len(unlike) > _REASONS else ""
    return "; ".join(unlike[:_REASONS])[:1000] + more


def _says(status: int, message: str, kind: str) -> dict[str, Any]:
    """An error as OTLP's JSON has it (google.rpc.Status), and as ours."""
    return {"code": _code(status), "message": message, "error": {"message": message, "type": kind}}


def _code(status: int) -> int:
    return _CODES.get(status, 13)


__all__ = ["Telemetry", "inflated", "loop_name"]
