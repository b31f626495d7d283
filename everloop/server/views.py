"""The pages: what a person sees of the loops, rendered on the server from the reports alone."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from everloop.errors import NotFound
from everloop.reading import VARIANT_ROWS
from everloop.report import Check, Point, TurnReport
from everloop.server import charts, words
from everloop.server.access import Access
from everloop.server.describe import groups
from everloop.server.table import Operation
from everloop.server.wire import HTML, Call, Reply
from everloop.types import LoopSpec, Release, Verdict
from everloop.wheel import Loop, Wheel

_HERE = Path(__file__).parent
_MEDIA = {".css": b"text/css; charset=utf-8", ".svg": b"image/svg+xml", ".js": b"text/javascript; charset=utf-8"}
_WORDS = {"pass": "supported", "fail": "evidence against", "inconclusive": "not enough yet"}
_SHOWN = 50  # turns and releases a page lists; the API has all of them


class Pages:
    """Handlers that answer HTML."""

    def __init__(self, wheel: Wheel, version: str, access: Access):
        self._wheel = wheel
        self._operations: Sequence[Operation] = ()
        self._checks: dict[str, tuple[float, Check | None]] = {}  # by loop: good until, and what was found
        self._files = {
            path.name: (path.read_bytes(), _MEDIA[path.suffix])
            for path in sorted((_HERE / "static").iterdir())
            if path.suffix in _MEDIA
        }
        env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "pages"), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, auto_reload=False,
        )  # fmt: skip
        env.filters.update(words.FILTERS)
        env.globals.update(
            access=access, version=version, home=str(wheel.settings.home), here="", words=_WORDS, arrow=_arrow,
            address=f"http://{_host(wheel.settings.host)}:{wheel.settings.port}",
            sheet=hashlib.sha256(self._files["everloop.css"][0]).hexdigest()[:12],
        )  # fmt: skip
        self._env = env

    def document(self, operations: Sequence[Operation]) -> None:
        """Tell the API page what there is; called once, when the table stands."""
        self._operations = operations

    def loops(self, call: Call) -> Reply:
        """Every loop the reader may see as a card, or how to begin."""
        own = "" if call.key is None else call.key.loop
        shown = [loop.status() for loop in self._wheel.loops() if own in {"", loop.name}]
        return self._page("loops.html", here="loops", loops=shown)

    def loop(self, call: Call) -> Reply:
        """One loop: its sentence, where it stands, its curve, waterfall, verdicts, releases and turns."""
        loop = self._wheel.get(call.params["name"])
        reports = loop.reports()[-_SHOWN:]
        releases = loop.releases()[-_SHOWN:]
        verdicts = {v.id: v for r in reports if (v := r.verdict) is not None}
        measured = [v for v in verdicts.values() if v.estimate is not None and v.champion is not None]
        last = next((r for r in reversed(reports) if r.kept or r.dropped), reports[-1] if reports else None)
        status = loop.status()
        points = loop.curve()
        return self._page(
            "loop.html",
            here_path=f"/loops/{loop.name}",
            spec=loop.spec,
            status=status,
            check=self._check(loop),
            reports=reports,
            last=last,
            points=points[-_SHOWN:],
            curve=_curve(points, loop.spec),
            fall=fall(last) if last else "",
            verdicts=measured,
            verdict_chart=_history(measured[-8:], loop.spec),
            releases=[(r, self._verdict(r, verdicts)) for r in reversed(releases)],
            slices=next((v.slices for v in reversed(measured) if v.slices), ()),
            waiting=Counter(review.why for review in loop.reviews("open")) if status.reviews else {},
            sample=json.dumps("my card has not arrived"),
            variant_rows=VARIANT_ROWS,
        )

    def turn(self, call: Call) -> Reply:
        """One turn's report."""
        loop = self._wheel.get(call.params["name"])
        report = loop.report(number(call.params["n"]))
        return self._page("turn.html", r=report, fall=fall(report, full=True), intervals=_intervals(report.verdict))

    def api(self, _: Call) -> Reply:
        """The API, from the same table as the routes."""
        return self._page("docs.html", here="docs", groups=groups(self._operations))

    async def static(self, call: Call) -> Reply:
        """The style sheet and the icon; addressed with their hash, so kept for ever."""
        found = self._files.get(call.params["file"])
        if found is None:
            raise NotFound(f"no file {call.params['file']!r} here")
        keep = b"public, max-age=31536000, immutable" if "v" in call.query else b"public, max-age=3600"
        return Reply(200, *found, headers=((b"cache-control", keep),))

    def error(self, status: int, message: str) -> Reply:
        """An error for a person."""
        heading = "Nothing here" if status == 404 else "That did not work"
        message = message or "Something went wrong here; the log says what."
        return self._page("error.html", status=status, heading=heading, message=message)._replace(status=status)

    def _check(self, loop: Loop) -> Check:
        """The loop's check, which reads much; it is kept for twenty times as long as it took."""
        until, found = self._checks.get(loop.name, (0.0, None))
        started = time.monotonic()
        if found is None or started > until:
            found = loop.check()
            ended = time.monotonic()
            self._checks[loop.name] = (ended + 20 * (ended - started), found)
        return found

    def _verdict(self, release: Release, known: dict[str, Verdict]) -> Verdict | None:
        if release.verdict is None:
            return None
        return known.get(release.verdict) or self._wheel.store.records.get(Verdict, release.verdict)

    def render(self, template: str, **values: Any) -> Reply:
        """Any page of ours, for handlers that have one."""
        return self._page(template, **values)

    def _page(self, template: str, **values: Any) -> Reply:
        text = self._env.get_template(template).render(**values)
        return Reply(200, text.encode(), HTML, ((b"cache-control", b"no-store"),))


def number(text: str) -> int:
    """A turn's number from a path; NotFound for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound(f"no turn {text!r}: turns are numbered from 1")
    return int(text)


@pass_context
def _arrow(context: Context, verb: str, index: int) -> Markup:
    """One arrow of the drawn sentence, with what the evidence says of it."""
    check: Check = context["check"]
    verdict = check.arrows[index].verdict if index < len(check.arrows) else "inconclusive"
    sign = {"pass": "✓", "fail": "✕"}.get(verdict, "?")
    return Markup(
        '<li class="arrow"><svg viewBox="0 0 16 32" fill="none" stroke="currentColor" stroke-width="1.6" '
        'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M8 2v27M3 24l5 5 5-5"/></svg>'
        '<span>{}<span class="badge {}"><span aria-hidden="true">{}</span>{}</span></span></li>'
    ).format(verb, verdict, sign, _WORDS[verdict])


def _curve(points: Sequence[Point], spec: LoopSpec) -> Markup:
    if not points:
        return Markup("")
    title = f"{spec.capability or 'Capability'} of {spec.name} by turn"
    return Markup(charts.fitting(charts.line_with_band, points[-_SHOWN:], title=title, key="curve", full=True))  # noqa: S704


def fall(report: TurnReport, full: bool = False) -> Markup:
    """The waterfall of a turn."""
    bars = [charts.Bar(reason.replace("_", " "), many) for reason, many in report.dropped.items()]
    came = max(report.seen, report.kept + sum(report.dropped.values()))
    undecided = came - report.kept - sum(report.dropped.values())
    if undecided:
        bars.append(charts.Bar("not decided yet", undecided))
    title = f"What became of {came:,} interactions"
    return Markup(charts.fitting(charts.waterfall, came, bars, report.kept, title=title, key="fall", full=full))  # noqa: S704


def _history(verdicts: Sequence[Verdict], spec: LoopSpec) -> Markup:
    if not verdicts:
        return Markup("")
    rows = [_interval(f"turn {v.turn}", v, v.outcome) for v in reversed(verdicts)]
    return Markup(  # noqa: S704 - the charts escape every name
        charts.fitting(
            charts.forest, rows, spec.policy.margin, title="Candidate minus champion, by turn", key="verdicts"
        )
    )


def _intervals(verdict: Verdict | None) -> Markup:
    if verdict is None or verdict.estimate is None:
        return Markup("")
    rows = [_interval("overall", verdict, verdict.outcome)]
    rows += [_interval(s.slice, s, s.outcome) for s in verdict.slices[:20]]
    title = "Candidate minus champion, overall and by slice"
    if verdict.champion is None:
        title = "The first model, minus always giving the same answer"
    return Markup(charts.fitting(charts.forest, rows, verdict.margin, title=title, key="intervals", full=True))  # noqa: S704


def _interval(name: str, v: Any, kind: str) -> charts.Interval:
    text = f"{words.points(v.estimate)} ({words.points(v.low)} to {words.points(v.high)})"
    low = v.estimate if v.low is None else v.low
    return charts.Interval(name, v.estimate, low, v.estimate if v.high is None else v.high, kind, text)


def _host(host: str) -> str:
    """The address to type: nobody types 0.0.0.0."""
    return "localhost" if host in {"127.0.0.1", "0.0.0.0", "::", "::1", ""} else host  # noqa: S104
