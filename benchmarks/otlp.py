"""OTLP in protobuf: our reader of its bytes beside the real one (upb, in C), both up to the spans the server takes.

Run: python benchmarks/otlp.py  (needs the extra `clients`: the real reader and the SDK that makes the spans)
"""

import gc
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import distribution
from typing import Any

from _results import machine, markdown_table, write_section

from everloop.interop import otlp
from everloop.interop.spans import read_spans

try:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
except ImportError as missing:
    raise SystemExit(f"needs the extra `clients`: {missing}") from None

SPANS, REPEATS = 512, 41  # 512: what the SDK sends at once
SAID = "My card was posted ten days ago and has not come; the letter box is empty. Where is it, and who can see? " * 2


def chat(role: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": SAID}]}])


ATTRIBUTES = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4",
    "gen_ai.response.model": "gpt-4-0613", "gen_ai.request.temperature": 0.5, "gen_ai.usage.input_tokens": 52,
    "gen_ai.usage.output_tokens": 47, "gen_ai.conversation.id": "c1", "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.input.messages": chat("user"), "gen_ai.output.messages": chat("assistant"),
}  # fmt: skip


def export() -> bytes:
    """What the SDK's exporter sends of `SPANS` chat answers."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("bench")
    for _ in range(SPANS):
        tracer.start_span("chat gpt-4", attributes=ATTRIBUTES).end()
    return bytes(encode_spans(kept.get_finished_spans()).SerializeToString())


def value(of: Any) -> Any:
    match of.WhichOneof("value"):
        case "array_value":
            return [value(one) for one in of.array_value.values]
        case "kvlist_value":
            return pairs(of.kvlist_value.values)
        case None:
            return None
        case name:
            return getattr(of, name)


def pairs(of: Any) -> dict[str, Any]:
    return {one.key: value(one.value) for one in of}


def real(body: bytes) -> list[otlp.Span]:
    """The same by opentelemetry-proto."""
    found = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = pairs(group.resource.attributes)
        for scope in group.scope_spans:
            for one in scope.spans:
                events = tuple(otlp.Event(e.name, e.time_unix_nano, pairs(e.attributes)) for e in one.events)
                ids = one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex()
                times = one.start_time_unix_nano, one.end_time_unix_nano
                told = pairs(one.attributes), events, one.status.code == 2, one.status.message, resource
                found.append(otlp.Span(*ids, one.name, *times, *told))
    return found


def megabytes(name: str) -> float:
    of = distribution(name)
    files = (of.locate_file(one) for one in of.files or ())
    return sum(one.stat().st_size for one in files if one.exists()) / 1e6  # type: ignore[attr-defined]


def main() -> None:
    body = export()
    ours = otlp.read_protobuf(body)
    assert ours == real(body)
    asked: dict[str, Callable[[], object]] = {
        "ours": lambda: otlp.read_protobuf(body),
        "opentelemetry-proto": lambda: real(body),
        "what follows: spans to interactions": lambda: list(read_spans(ours)),
    }
    rates: dict[str, list[float]] = {name: [] for name in asked}
    gc.disable()
    for _ in range(REPEATS):  # alternating, so that what else the machine does hits all alike
        for name, does in asked.items():
            start = time.process_time()
            does()
            rates[name].append(SPANS / (time.process_time() - start))
            gc.collect()
    added = {"opentelemetry-proto": megabytes("opentelemetry-proto") + megabytes("protobuf")}
    rows = [
        (name, f"{statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f})", f"{added.get(name, 0):.2f}")
        for name, found in rates.items()
    ]  # fmt: skip
    table = markdown_table(["reader", "spans a second, one core: median (range)", "MB it adds"], rows)
    text = f"""
## Reading OTLP

{machine()}. {SPANS} spans in one request as the OpenTelemetry SDK exports them, {len(ATTRIBUTES)} GenAI attributes and
{len(body) // SPANS} bytes each; {REPEATS} runs, alternating, in CPU time. Both readers return the same spans.

{table}
"""
    write_section("otlp", text)
    print(text)


if __name__ == "__main__":
    main()
