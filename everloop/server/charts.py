"""Charts as SVG strings: pure functions from numbers and names to text, every name escaped.

Geometry is in attributes and colour in the style sheet, by class, so one drawing serves light and dark. Text keeps its
size, so a chart is drawn for each width it may find, and the style sheet shows the one that fits. The numbers of every
chart stand in a table beside it; the drawing has a title and a description for those who don't see it.
"""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple, TypeVar

from everloop.report import Point

NARROW, MIDDLE, WIDE = 320, 480, 1000  # pixels; the style sheet knows them
_LETTER = 6.6  # pixels an average letter takes at the chart's text size
T = TypeVar("T")


class Bar(NamedTuple):
    """One step of a waterfall: `take` things leave because of `name`."""

    name: str
    take: int


class Interval(NamedTuple):
    """One row of a forest: an estimate with its interval, in the unit of the axis."""

    name: str
    estimate: float
    low: float
    high: float
    kind: str  # pass, fail, inconclusive
    text: str  # the numbers, as a person reads them


def fitting(draw: Callable[..., str], *args: Any, key: str, full: bool = False, **kwargs: Any) -> str:
    """A chart drawn for each width it may find; the style sheet shows the one that fits. `full`: alone in its row."""
    sizes = (NARROW, MIDDLE, WIDE) if full else (NARROW, MIDDLE)
    drawn = (f'<div class="w{size}">{draw(*args, key=f"{key}-{size}", width=size, **kwargs)}</div>' for size in sizes)
    return f'<div class="chart{" full" if full else ""}">{"".join(drawn)}</div>'


def line_with_band(points: Sequence[Point], *, title: str, key: str = "line", width: int = WIDE) -> str:
    """Shares (0..1) by turn as a line, their intervals as a band; filled dots went live.

    >>> one = Point(turn=1, estimate=0.8, low=0.7, high=0.9, n=100, live=True)
    >>> svg = line_with_band([one], title="<accuracy>")
    >>> "&lt;accuracy&gt;" in svg, "<accuracy>" in svg, svg.count("<circle")
    (True, False, 1)
    """
    height, left, right, top, foot = 250 if width > 400 else 210, 46, 14, 14, 34
    ticks = _ticks(min(p.low for p in points), max(p.high for p in points))
    low, high = ticks[0], ticks[-1]
    first, last = points[0].turn, points[-1].turn

    def x(turn: float) -> float:
        share = 0.5 if first == last else (turn - first) / (last - first)
        return left + 12 + share * (width - left - right - 24)

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * (height - top - foot)

    out = []
    for tick in ticks:
        out.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        out.append(f'<text class="tick end" x="{left - 8}" y="{y(tick) + 4:.1f}">{_percent(tick, ticks)}</text>')
    for point in _thin(points, (width - left) // 44):
        out.append(f'<text class="tick mid" x="{x(point.turn):.1f}" y="{height - 14}">{point.turn}</text>')
    out.append(f'<text class="tick end" x="{width - right}" y="{height - 1}">turn</text>')
    if len(points) > 1:
        upper = [f"{x(p.turn):.1f},{y(p.high):.1f}" for p in points]
        lower = [f"{x(p.turn):.1f},{y(p.low):.1f}" for p in reversed(points)]
        out.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
        line = " ".join(f"{x(p.turn):.1f},{y(p.estimate):.1f}" for p in points)
        out.append(f'<polyline class="line" points="{line}"/>')
    else:
        only = points[0]
        out.append(f'<line class="whisker" x1="{x(only.turn):.1f}" x2="{x(only.turn):.1f}" '
                   f'y1="{y(only.low):.1f}" y2="{y(only.high):.1f}"/>')  # fmt: skip
    for p in points:
        says = f"turn {p.turn}: {p.estimate:.1%}, {p.low:.1%} to {p.high:.1%}, n = {p.n:,}"
        state = "live" if p.live else "not"
        out.append(f'<circle class="dot {state}" cx="{x(p.turn):.1f}" cy="{y(p.estimate):.1f}" r="4.5">'
                   f"<title>{escape(says)}</title></circle>")  # fmt: skip
    end = points[-1]
    says = (f"From turn {first} to turn {last}; at the end {end.estimate:.1%}, "
            f"between {end.low:.1%} and {end.high:.1%}, n = {end.n:,}.")  # fmt: skip
    return _svg(out, (width, height), title, says, key)


def waterfall(came: int, bars: Sequence[Bar], kept: int, *, title: str, key: str = "fall", width: int = WIDE) -> str:
    """What came in, what each reason took away, what was kept; `came` is the sum of the rest.

    >>> svg = waterfall(10, [Bar("<b>", 4)], 6, title="t")
    >>> "<b>" in svg, svg.count('class="bar')
    (False, 3)
    """
    row, thick = 42, 14
    scale = width / max(came, 1)
    rows = [("came in", came, 0.0, "in")]
    left = came
    for bar in bars:
        left -= bar.take
        rows.append((bar.name, bar.take, max(left, 0) * scale, "out"))
    rows.append(("kept", kept, 0.0, "kept"))
    out = []
    for i, (name, count, start, kind) in enumerate(rows):
        top = i * row
        sign = "−" if kind == "out" else ""
        share = f" · {_whole(count / came)}" if came and kind != "in" else ""
        value = f"{sign}{count:,}{share}"
        out.append(f'<text class="name" x="0" y="{top + 15}">{_fit(name, width - len(value) * _LETTER - 12)}</text>')
        out.append(f'<text class="value end" x="{width}" y="{top + 15}">{escape(value)}</text>')
        out.append(f'<rect class="track" x="0" y="{top + 21}" width="{width}" height="{thick}" rx="3"/>')
        long = max(count * scale, 2.0 if count else 0.0)
        out.append(f'<rect class="bar {kind}" x="{min(start, width - long):.1f}" y="{top + 21}" width="{long:.1f}" '
                   f'height="{thick}" rx="3"/>')  # fmt: skip
    says = f"{came:,} came in, {came - kept:,} were dropped for {len(bars)} reasons, {kept:,} were kept."
    return _svg(out, (width, len(rows) * row), title, says, key)


def forest(rows: Sequence[Interval], margin: float, *, title: str, key: str = "forest", width: int = WIDE) -> str:
    """Differences (candidate minus champion) as intervals around zero, with the line no interval should pass.

    `margin` is how much worse a candidate may be, as a positive number in the same unit.

    >>> row = Interval("all", 0.02, -0.01, 0.05, "pass", "+2 points")
    >>> 'class="dot pass"' in forest([row], 0.02, title="t")
    True
    """
    each, top = 44, 22
    ticks = _ticks(min([r.low for r in rows] + [-margin]), max([r.high for r in rows] + [margin]), bounded=False)
    low, high = ticks[0], ticks[-1]
    bottom = top + each * len(rows)

    def x(value: float) -> float:
        return 8 + (min(max(value, low), high) - low) / (high - low) * (width - 16)

    out = [
        f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="2" y2="14"/>',
        f'<text class="tick end" x="{x(0) - 8:.1f}" y="10">worse</text>',
        f'<text class="tick" x="{x(0) + 8:.1f}" y="10">better</text>',
    ]
    for i, row in enumerate(rows):
        y = top + i * each
        middle = y + 26
        room = width - len(row.text) * _LETTER - 16
        for line, value in (("zero", 0.0), ("margin", -margin)):  # beside the whisker only, so that text stays clear
            out.append(
                f'<line class="{line}" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{middle - 8}" y2="{middle + 8}"/>'
            )
        out.append(f'<text class="name" x="0" y="{y + 12}">{_fit(row.name, room)}</text>')
        out.append(f'<text class="value end" x="{width}" y="{y + 12}">{escape(row.text)}</text>')
        out.append(f'<line class="whisker {escape(row.kind)}" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" '
                   f'y1="{middle}" y2="{middle}"/>')  # fmt: skip
        out.append(f'<circle class="dot {escape(row.kind)}" cx="{x(row.estimate):.1f}" cy="{middle}" r="5"/>')
    every = math.ceil(len(ticks) / (width // 60))
    for tick in (tick for tick in ticks if round(tick / (ticks[1] - ticks[0])) % every == 0):  # zero always among them
        out.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        place = "" if x(tick) < 30 else "end" if x(tick) > width - 30 else "mid"
        out.append(f'<text class="tick {place}" x="{x(tick) if place == "mid" else 0 if not place else width:.1f}" '
                   f'y="{bottom + 19}">{_points(tick)}</text>')  # fmt: skip
    says = "; ".join(f"{row.name}: {row.text}" for row in rows[:20])
    return _svg(out, (width, bottom + 26), title, says, key)


def _svg(parts: list[str], size: tuple[int, int], title: str, says: str, key: str) -> str:
    width, height = size
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-labelledby="{key}-t {key}-d"><title id="{key}-t">{escape(title)}</title>'
        f'<desc id="{key}-d">{escape(says)}</desc>{"".join(parts)}</svg>'
    )


def _ticks(low: float, high: float, bounded: bool = True) -> list[float]:
    """Round values that enclose low..high, at most seven of them; `bounded`: within 0 and 1."""
    span = max(high - low, 0.02)
    step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if span / s <= 5 or s == 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if bounded:
        first, last = max(first, 0), min(last, round(1 / step))
    if first >= last:
        first, last = (first, first + 1) if not bounded or first * step < 1 else (first - 1, first)
    return [round(i * step, 6) for i in range(first, last + 1)]


def _percent(value: float, ticks: list[float]) -> str:
    fine = len(ticks) > 1 and round((ticks[1] - ticks[0]) * 1000) % 10 != 0
    return f"{value * 100:.1f} %" if fine else f"{value * 100:.0f} %"


def _whole(share: float) -> str:
    return "< 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def _points(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value * 100:+g}".replace("-", "−")


def _thin(items: Sequence[T], most: int) -> list[T]:
    """At most about `most` of the items, evenly, the last always among them."""
    every = max(1, math.ceil(len(items) / max(most, 1)))
    return [item for i, item in enumerate(reversed(items)) if i % every == 0][::-1]


def _fit(name: str, room: float) -> str:
    """A name cut to the room there is; the table has all of it."""
    most = max(int(room / _LETTER), 4)
    return escape(name if len(name) <= most else name[: most - 1] + "…")
