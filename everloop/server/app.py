"""The server: one table of operations, from which routes and documentation are made, and the process that serves it."""

import contextlib
import errno
import functools
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib.metadata import version as installed
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from everloop.errors import InvalidInput
from everloop.ids import now
from everloop.keys import MAKE_ONE, usable
from everloop.report import Check, TurnReport
from everloop.server import bodies
from everloop.server.access import Access, loopback
from everloop.server.admin import Admin
from everloop.server.agreeing import Agreeing
from everloop.server.blobs import AttachedBlobs
from everloop.server.campaigning import Campaigning
from everloop.server.classing import Classing
from everloop.server.connections import Connections
from everloop.server.control import Declaring, Turning
from everloop.server.datasets import DatasetPages
from everloop.server.describe import openapi
from everloop.server.dialect_langfuse import Langfuse
from everloop.server.dialect_mlflow import Mlflow
from everloop.server.dialect_phoenix import Phoenix
from everloop.server.dialect_tensorzero import TensorZero
from everloop.server.dialects import Hearing
from everloop.server.drop_pages import DropPages
from everloop.server.dropping import Dropping
from everloop.server.gateway import Gateway
from everloop.server.ingest import Ingest
from everloop.server.interaction_views import InteractionPages
from everloop.server.login import Login
from everloop.server.processes import part, say_ready, supervise
from everloop.server.roles import rule_of
from everloop.server.sessions import Sessions
from everloop.server.signal_views import SignalPages
from everloop.server.slicing import Slicing
from everloop.server.table import Operation, Resource
from everloop.server.telemetry import Telemetry
from everloop.server.views import Pages
from everloop.server.weighing import Weighing
from everloop.server.wire import Call, Reply, headers_of, one_line, problem, reply, wants_page
from everloop.server.worker import Turner, Worker
from everloop.server.worker_process import LOG_FORMAT, STEP_GRACE, WorkerProcess
from everloop.settings import Settings
from everloop.store import Records
from everloop.types import Annotation, Drop, Feedback, Interaction, Key, Release
from everloop.wheel import Wheel
from everloop.wheel import open as open_wheel

THREADS = 8  # for reports, pages, slow models: more would only queue for the interpreter
SWITCH = 0.001  # seconds a thread keeps the interpreter: while a turn computes, this halves the p99 of answers
GRACE = 5  # seconds a stop waits for requests

_TAKEN = ((200, "All of it was known already, or every line of the batch was taken."), (201, "New, and on disk."),
          (202, "On disk, and held until its interaction comes."), (207, "Some lines were taken, others refused."),
          (422, "Nothing was taken."))  # fmt: skip
_ANSWERED = ((200, "The answer; the interaction is on disk."),)


class Application(Starlette):
    """Starlette, which a request for a path without parameters passes by: its resource needs nothing of it."""

    def __init__(self, exact: Mapping[str, ASGIApp], **more: Any):
        super().__init__(**more)
        self._exact = exact

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or begin and end."""
        found = self._exact.get(scope["path"]) if scope["type"] == "http" else None
        await (found or super().__call__)(scope, receive, send)


def create_app(wheel: Wheel, *, worker: bool | Turner = True) -> Starlette:
    """The ASGI application over a wheel; with `worker` a thread of its own, or the worker given, turns the loops while
    the application is up.

    The caller keeps the wheel, and closes it after the application has shut down.
    """
    version = installed("everloop")
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="everloop-http")
    turning = Worker(wheel, wheel.settings.worker_seconds) if worker is True else worker or None
    sessions = Sessions.of_folder(wheel.settings.folder)
    access = Access(wheel.store.records, sessions, wheel.settings)
    pages = Pages(wheel, version, access)
    login = Login(access, sessions, pages, wheel.store.records, wheel.settings.proxies)
    gateway = Gateway(wheel, threads)
    operations = table((Ingest(wheel, threads), Declaring(wheel), Turning(wheel, turning), pages), version,
                       (*Admin(wheel.store.records, pages).operations(), *login.operations(),
                        *Campaigning(wheel).operations(), *Agreeing(wheel).operations(),
                        *AttachedBlobs(wheel).operations(), *InteractionPages(wheel, pages).operations(),
                        *Slicing(wheel, pages).operations(), *Classing(wheel, pages).operations(),
                        *Dropping(wheel).operations(),
                        *DropPages(wheel, pages).operations(),
                        *Weighing(wheel).operations(), *SignalPages(wheel, pages).operations(),
                        *DatasetPages(wheel, pages).operations()),
                       (*gateway.operations(), *dialects(wheel, threads, version, gateway)))  # fmt: skip
    pages.document(operations)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if turning is not None:
            turning.start()
        yield
        if turning is not None:
            turning.stop(STEP_GRACE)
        gateway.close()
        threads.shutdown(wait=False, cancel_futures=True)

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = _nothing_there(request, pages)
        response = Response(answer.body, answer.status)
        response.raw_headers = headers_of(answer)
        return response

    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    limit = wheel.settings.max_body_bytes
    routes = [
        Route(path.replace("{subject}", "{subject:path}"), Resource(  # a person may be called "shop/42"
            found, [rule_of(op) for op in found], threads, found[0].limit or limit, pages.error, access,
            wheel.store.records,
        ))
        for path, found in sorted(by_path.items(), key=lambda one: one[0].endswith("{subject}"))
    ]  # fmt: skip
    exact = {route.path: route.app for route in routes if not route.param_convertors}
    return Application(exact, routes=routes, lifespan=lifespan, exception_handlers={404: unknown})


def dialects(wheel: Wheel, threads: Executor, version: str, gateway: Gateway) -> list[Operation]:
    """What the clients of other tools call."""
    hearing = Hearing(wheel, threads)
    telemetry = Telemetry(wheel, hearing)
    spoken = (TensorZero(hearing, gateway), Langfuse(hearing, version, telemetry.traces), Mlflow(hearing),
              Phoenix(hearing), telemetry)  # fmt: skip
    return [row for dialect in spoken for row in dialect.operations()]


def table(
    handlers: tuple[Ingest, Declaring, Turning, Pages],
    version: str,
    more: Sequence[Operation] = (),
    gateway: Sequence[Operation] = (),
) -> tuple[Operation, ...]:
    """Every operation there is. The most asked come first: routes are matched in order."""
    ingest, declared, turns, pages = handlers
    op, loop = Operation, "/v1/loops/{name}"
    made: list[Operation] = []

    async def health(_: Call) -> Reply:
        return reply(bodies.Health("ok", version))

    @functools.cache
    def document() -> dict[str, Any]:  # tens of milliseconds, which a start need not wait for
        return openapi(made, version)

    def described(_: Call) -> Reply:
        return reply(document())

    made += [
        op("POST", "/v1/feedback", "Say what answers were worth: one object, or one a line.", ingest.feedback,
           bodies.Taken, Feedback, "collect", replies=_TAKEN, lines=True, optional=("id", "at"), bound=True,
           roles=("developer", "reviewer", "client", "publishable")),
        op("POST", f"{loop}/predict", "Ask the live model; the answer's id is what feedback speaks of.",
           ingest.predict, bodies.Answer, bodies.PredictRequest, "collect", replies=_ANSWERED),
        op("POST", f"{loop}/interactions", "Log what was answered elsewhere: one object, or one a line.", ingest.log,
           bodies.Taken, Interaction, "collect", replies=_TAKEN, lines=True, optional=("id", "at", "loop")),
        *gateway,
        op("GET", "/v1/interactions/{id}", "One interaction.", declared.interaction, Interaction, tag="collect",
           bound=True),
        op("DELETE", "/v1/subjects/{subject}", "Forget a person: everything of theirs, everywhere.", declared.erase,
           bodies.Erasure, tag="collect", roles=("admin",), audited=True),
        op("GET", "/v1/loops", "Every loop.", declared.loops, bodies.Loops, tag="loops", bound=True),
        op("PUT", loop, "Declare a loop, or change what is declared.", declared.declare, bodies.LoopView,
           bodies.Declaration, "loops", needs_body=False),
        op("GET", loop, "What is declared, and where it stands.", declared.loop, bodies.LoopView, tag="loops"),
        op("GET", f"{loop}/check", "Whether the evidence supports the loop's sentence.", declared.check, Check,
           tag="loops"),
        op("GET", f"{loop}/turns", "Every turn's report.", turns.turns, bodies.Turns, tag="turns"),
        op("POST", f"{loop}/turns", "Open a turn by hand; the worker does it.", turns.turn_now, bodies.TurnAsked,
           tag="turns", replies=((202, "It is open."),)),
        op("GET", f"{loop}/turns/{{n}}", "One turn's report.", turns.turn, TurnReport, tag="turns"),
        op("POST", f"{loop}/drops/{{id}}/undo", "Take a drop back, by the interaction's id.", turns.undo, Drop,
           tag="turns"),
        op("GET", f"{loop}/reviews", "The queue of human work, the most urgent first.", turns.reviews,
           bodies.Reviews, tag="people",
           query=(("state", "open (the default), done or skipped"), ("limit", "at most so many"))),
        op("POST", "/v1/reviews/{id}", "Answer a review.", turns.annotate, Annotation, bodies.AnnotateRequest,
           "people", bound=True),
        op("GET", f"{loop}/models", "Every trained model version.", turns.models, bodies.Models, tag="models"),
        op("GET", f"{loop}/releases", "What was live when, and why.", turns.releases, bodies.Releases,
           tag="models"),
        op("POST", f"{loop}/rollback", "Put an earlier model live again, at once.", turns.rollback, Release,
           bodies.RollbackRequest, "models", needs_body=False),
        op("GET", f"{loop}/datasets", "Every dataset version, newest first.", turns.datasets, bodies.Versions,
           tag="models"),
        op("GET", "/healthz", "The server answers.", health, bodies.Health, tag="server", public=True),
        op("GET", "/openapi.json", "This description, for machines.", described, tag="server",
           media="application/json", bound=True),
        op("GET", "/docs", "This description, for people.", pages.api, bound=True),
        op("GET", "/", "Every loop.", pages.loops, bound=True),
        op("GET", "/loops/{name}", "One loop.", pages.loop),
        op("GET", "/loops/{name}/turns/{n}", "One turn.", pages.turn),
        op("GET", "/static/{file}", "The style sheet and the icon.", pages.static, media="*/*", public=True),
        *more,
    ]  # fmt: skip
    return tuple(made)


def serve(settings: Settings, ready: Callable[[bool], None] = lambda _: None) -> None:
    """Serve pages and API and turn the loops until stopped (Ctrl-C, SIGTERM), in `settings.processes` processes.

    `ready` is called once the address and the folder are had, with whether it is open: without keys, on loopback.
    Exits with status 1 and one line if the address can't be had. Raises StoreError if the folder can't be used, and
    InvalidInput for an address that others reach while there is no key.
    """
    listening = _listen(settings.host, settings.port)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    if settings.processes == 1:
        return _serve(settings, listening, ready)
    with listening:
        with open_wheel(settings=settings) as wheel:  # what is wrong with the folder is said once, and here
            check_keys(wheel.store.records, settings.host)
            is_open = not wheel.store.records.count(Key)
        supervise(settings, listening, lambda: ready(is_open))


def serve_part() -> None:
    """What each of several serving processes does: see `processes`."""
    told = part()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    _serve(told.settings, socket.socket(fileno=told.listening), lambda _: say_ready(), worker=told.worker)


def _serve(settings: Settings, listening: socket.socket, ready: Callable[[bool], None], *, worker: bool = True) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the wheel is closed below
    sys.setswitchinterval(SWITCH)
    with listening, open_wheel(settings=settings) as wheel:
        check_keys(wheel.store.records, settings.host)
        ready(not wheel.store.records.count(Key))
        config = uvicorn.Config(
            create_app(wheel, worker=worker and WorkerProcess(settings)), loop="auto",
            http=Connections().protocol, ws="none", access_log=False,
            log_config=None, log_level="warning", timeout_graceful_shutdown=GRACE, server_header=False,
            proxy_headers=False, date_header=False,
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def check_keys(records: Records | None, host: str) -> None:
    """Raise InvalidInput if others reach that address and nobody has a key; without `records` there are none."""
    keys = () if records is None else records.find(Key)
    if not loopback(host) and not any(usable(key, now()) for key in keys):
        raise InvalidInput(f"--host {host}: others reach it, so make a key first ({MAKE_ONE}) or use 127.0.0.1")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        # Listen at once: of two that start together one is told now, not after it has opened the folder.
        listening.listen(2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"port {port} on {host} is in use; stop the other program or choose another with --port")
        if error.errno == errno.EACCES:
            sys.exit(f"port {port} on {host} needs more rights; choose one above 1023 with --port")
        sys.exit(f"can't listen on {host}, port {port}: {one_line(error)}")
    return listening


def _nothing_there(request: Request, pages: Pages) -> Reply:
    path = request.url.path
    if wants_page(request.scope) and not path.startswith("/v1/"):
        return pages.error(404, f"There is no page {path}.")
    return problem(404, f"there is nothing at {path[:200]}; see /docs", "NotFound")


__all__ = ["create_app", "serve"]
