"""Charts for any numbers: they parse, stay in their frame, and say everything twice."""

import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.report import Point
from everloop.server import charts

share = st.floats(0, 1)
points = st.lists(st.tuples(share, share, share, st.booleans()), min_size=1, max_size=60).map(
    lambda rows: [
        Point(turn=i, estimate=sorted(row[:3])[1], low=min(row[:3]), high=max(row[:3]), n=5, live=row[3])
        for i, row in enumerate(rows, start=1)
    ]
)
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80)
rows = st.lists(st.tuples(text, st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=12)


def inside(svg: str, width: int) -> None:
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    height = float(root.attrib["height"])
    for x in map(float, re.findall(r' (?:x|cx|x1|x2)="([-\d.]+)"', svg)):
        assert -1 <= x <= width + 1
    for y in map(float, re.findall(r' (?:y|cy|y1|y2)="([-\d.]+)"', svg)):
        assert -1 <= y <= height + 1
    assert "nan" not in svg
    assert root[0].tag == "title"
    assert root[1].tag == "desc"


@settings(max_examples=60, deadline=None)
@given(points, st.sampled_from([320, 480, 1000]), text)
def test_line_with_band(found: list[Point], width: int, title: str) -> None:
    svg = charts.line_with_band(found, title=title, width=width)
    inside(svg, width)
    assert svg.count("<circle") == len(found)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(text, st.integers(0, 10**7)), max_size=12), st.integers(0, 10**7), st.sampled_from([320, 480])
)
def test_waterfall(bars: list[tuple[str, int]], kept: int, width: int) -> None:
    came = kept + sum(take for _, take in bars)
    svg = charts.waterfall(came, [charts.Bar(*bar) for bar in bars], kept, title="t", width=width)
    inside(svg, width)
    assert svg.count('class="bar') == len(bars) + 2


@settings(max_examples=60, deadline=None)
@given(rows, st.floats(0, 0.5), st.sampled_from([320, 480, 1000]))
def test_forest(found: list[tuple[str, float, float]], margin: float, width: int) -> None:
    made = [charts.Interval(n, e, e - w, e + w, "pass", "+1") for n, e, w in found]
    svg = charts.forest(made, margin, title="t", width=width)
    inside(svg, width)
    assert ">0<" in svg


def test_a_name_from_outside_stays_text() -> None:
    nasty = "</text><script>alert(1)</script>"
    drawn = charts.waterfall(2, [charts.Bar(nasty, 1)], 1, title=nasty) + charts.forest(
        [charts.Interval(nasty, 0, 0, 0, "pass", nasty)], 0.1, title=nasty
    )
    assert "<script" not in drawn
