"""A segment that a power cut tore at any byte gives what was whole, and never anything else."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.client.events import Event
from everloop.client.segments import MAGIC, Segment, frame, scan

EVENTS = [Event(f"id{i}", "/v1/feedback", b'{"n":%d,"text":"%s"}' % (i, b"y" * (i * 7)), 1) for i in range(6)]
FRAMES = [frame(event, i) for i, event in enumerate(EVENTS)]
WHOLE = MAGIC + b"".join(FRAMES)
ENDS = [len(MAGIC) + sum(map(len, FRAMES[:i])) for i in range(len(FRAMES) + 1)]


@pytest.mark.parametrize("tail", [b"", b"\0" * 300, WHOLE[20:60]], ids=["cut", "zeros", "old"])
def test_torn_at_every_byte(tail: bytes, tmp_path: Path) -> None:
    for at in range(len(WHOLE) + 1):
        segment = Segment(tmp_path, 1, 1, 0)
        segment.path.write_bytes(WHOLE[:at] + tail)
        segment.recover()
        whole = sum((WHOLE[:at] + tail)[:end] == WHOLE[:end] for end in ENDS[1:])
        assert segment.left == whole
        assert segment.path.stat().st_size == segment.size == (ENDS[whole] if whole or at >= len(MAGIC) else 0)
        segment.read()
        assert segment.todo is not None
        assert [held.event for held in segment.todo] == EVENTS[:whole]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_costs_what_it_hits_and_no_more(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    length = data.draw(st.integers(1, 40))
    rubbish = data.draw(st.binary(min_size=length, max_size=length))
    damaged = WHOLE[:at] + rubbish + WHOLE[at + length :]
    found = [record.event for record in scan(damaged, 1).records]
    untouched = [
        event
        for event, start, end in zip(EVENTS, ENDS, ENDS[1:], strict=False)
        if damaged[start:end] == WHOLE[start:end] and end <= len(damaged)
    ]
    assert found == untouched


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_rubbish_is_no_record(data: bytes) -> None:
    assert scan(data, 0).records == []


def test_a_write_that_fails_half_way_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = Segment(tmp_path, 1, 0, 0)
    segment.create()
    segment.append(FRAMES[0], 0, 1)
    write = segment._write

    def half(data: bytes) -> None:
        write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Segment, "_write", lambda self, data: half(data))
    with pytest.raises(OSError, match="No space"):
        segment.append(FRAMES[1], 1, 1)
    assert segment.path.stat().st_size == ENDS[1]
    segment.close()


def test_a_megabyte_of_rubbish_is_scanned_in_no_time() -> None:
    assert scan(random.Random(1).randbytes(200_000), 0).records == []
