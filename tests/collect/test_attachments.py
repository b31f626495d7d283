"""Bytes inside a request: recognised, taken out, kept by their hash, and never believed."""

import base64
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import everloop
from everloop.collect import build_interaction, may_hold
from everloop.collect.media import media_of, sniffed
from everloop.curate import fingerprint
from everloop.errors import EverloopError, InvalidInput, TooLarge
from everloop.settings import Settings
from everloop.store import open_store
from everloop.types import Interaction, Intervention, LoopSpec
from everloop.wheel import Wheel

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(32)
PDF = b"%PDF-1.7\n" + b"x" * 50
SPEC = LoopSpec(name="seen", task="chat")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(data: bytes, media: str = "image/png") -> str:
    return f"data:{media};base64,{b64(data)}"


def message(*parts: object) -> dict:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.fixture
def wheel(tmp_path):
    with everloop.open(settings=Settings(home=str(tmp_path / "home"), max_attachment_bytes=5_000)) as made:
        yield made


def built(wheel: Wheel, input: object, **more: object) -> Interaction:
    made = build_interaction(SPEC, {"input": input, **more}, wheel.door)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Interaction) == made
    return made


CARRIERS = [
    ({"type": "image_url", "image_url": {"url": url(PNG)}}, PNG, "image/png", "image_url.url"),
    ({"type": "input_image", "image_url": url(PNG)}, PNG, "image/png", "image_url"),
    ({"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "wav"}}, WAV, "audio/wav", "input_audio.data"),
    ({"type": "file", "file": {"filename": "a.pdf", "file_data": b64(PDF)}}, PDF, "application/pdf", "file.file_data"),
    ({"type": "file", "file": {"file_data": url(PDF, "application/pdf")}}, PDF, "application/pdf", "file.file_data"),
    ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64(PNG)}}, PNG, "image/png",
     "source.data"),
    ({"type": "blob", "mime_type": "image/png", "modality": "image", "content": b64(PNG)}, PNG, "image/png", "content"),
    ({"inline_data": {"mime_type": "image/png", "data": b64(PNG)}}, PNG, "image/png", "inline_data.data"),
    ({"type": "image", "data": b64(PNG), "mimeType": "image/png"}, PNG, "image/png", "data"),
    ({"data": b64(PNG), "media": "image/png", "name": "scan.png"}, PNG, "image/png", "data"),
    ({"b64_json": b64(PNG)}, PNG, "image/png", "b64_json"),
    ({"anything": [url(b"a,b", "text/csv")]}, b"a,b", "text/csv", "anything.0"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "data", "media", "where"), CARRIERS, ids=lambda x: x if isinstance(x, str) else "")
def test_every_way_to_send_bytes_ends_in_blobs(wheel, part, data, media, where):
    made = built(wheel, message({"type": "text", "text": "what is this"}, part))
    (found,) = made.attachments
    hash = sha256(data).hexdigest()
    assert (found.hash, found.media, found.size) == (hash, media, len(data))
    assert found.where == f"input.messages.0.content.1.{where}"
    assert wheel.store.blobs.get(hash) == data
    written = msgspec.json.encode(made).decode()
    assert b64(data) not in written
    assert f'{{"blob":"{hash}","media":"{media}","size":{len(data)}' in written
    assert may_hold(json.dumps(part).encode())


def test_answers_hold_them_too_and_a_name_goes_along_redacted(wheel):
    answer = {"role": "assistant", "content": None, "audio": {"id": "a", "data": b64(WAV), "transcript": "hello"}}
    part = {"type": "file", "file": {"filename": "ada@example.org.pdf", "file_data": b64(PDF)}}
    made = built(wheel, message(part), message=answer)
    assert [a.where for a in made.attachments] == ["input.messages.0.content.0.file.file_data", "message.audio.data"]
    assert made.attachments[0].name == "[email]"
    assert "ada@" not in msgspec.json.encode(made).decode()
    assert made.redacted == {"email": 2}  # in the name beside the bytes, and in the one that goes with them
    assert made.message["audio"]["transcript"] == "hello"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain words"}},
        {"type": "text", "text": "data:image/png;base64,not really…"},
        {"type": "text", "text": "data:,hello"},
        {"data": "a customer's own field"},
        {"data": [1, 2], "media": "image/png"},
        {"blob": "a word"},
        {"audio": {"data": "", "transcript": "nothing"}},
    ],
)
def test_what_is_no_value_stays_as_it_is(wheel, part):
    made = built(wheel, message(part))
    assert made.input == message(part)
    assert made.attachments == ()


@pytest.mark.parametrize(
    ("part", "error", "says"),
    [
        ({"image_url": {"url": "data:image/png;base64,@@@"}}, InvalidInput, "image_url.url: not valid base64"),
        ({"input_audio": {"data": "ü", "format": "wav"}}, InvalidInput, "not valid base64"),
        ({"source": {"type": "base64", "media_type": "image/png", "data": "a"}}, InvalidInput, "not valid base64"),
        ({"image_url": {"url": url(b"x" * 5_001)}}, TooLarge, "5,001 bytes; the limit of an attachment is 5,000"),
        ({"image_url": {"url": url(b"x" * 500_000)}}, TooLarge, "EVERLOOP_MAX_ATTACHMENT_BYTES"),
        ({"blob": "0" * 64}, InvalidInput, "there is no blob 0000000000000000…; send its bytes to POST /v1/blobs"),
        ([{"data": b64(PNG), "media": "image/png"}] * 257, InvalidInput, "more than 256 attachments"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_nothing_is_kept(wheel, part, error, says):
    with pytest.raises(error, match=says) as caught:
        built(wheel, message(part))
    assert "\n" not in str(caught.value)
    assert not [path for path in (wheel.settings.folder / "blobs").rglob("*") if path.is_file()]


def test_base64_as_people_send_it(wheel):
    data = bytes(range(256)) * 4
    lines = "\n".join(b64(data)[i : i + 76] for i in range(0, len(b64(data)), 76))
    for text in (lines, base64.urlsafe_b64encode(data).decode().rstrip("=")):
        assert built(wheel, message({"data": text, "media": "x/y"})).attachments[0].hash == sha256(data).hexdigest()


def test_the_kind_is_what_the_bytes_say():
    assert media_of(b"<script>alert(1)</script>", "image/png") == "application/octet-stream"
    assert media_of(PNG, "text/html") == "image/png"
    assert media_of(b"<svg onload=x>", "image/svg+xml") == "image/svg+xml"  # told, never shown
    assert media_of(b"x", 'text/html"><script>') == "application/octet-stream"
    for start, media in [
        (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"GIF89a", "image/gif"), (b"RIFF0000WEBPVP8 ", "image/webp"),
        (b"OggS\x00", "audio/ogg"), (b"ID3\x04", "audio/mpeg"), (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\x00\x00\x00\x20ftypisom", "video/mp4"), (b"RIFF0000AVI ", None), (b"\xff\xff\xff\xff", None), (b"", None),
    ]:  # fmt: skip
        assert sniffed(start) == media


def test_redaction_reads_neither_the_bytes_nor_the_hash(wheel):
    # Base64 that spells a card number, and bytes whose hash has a card number in it.
    card = "4242424242424242"
    assert built(wheel, message({"data": card, "media": "x/y"})).redacted == {}
    for n in range(3000):
        if "card" in wheel.door.clean({"x": {"blob": sha256(str(n).encode()).hexdigest()}}, ("x",)):
            break
    else:
        pytest.fail("no such hash: look further")
    made = built(wheel, message({"data": b64(str(n).encode()), "media": "x/y"}, {"type": "text", "text": f"c {card}"}))
    assert made.redacted == {"card": 1}
    assert made.input["messages"][0]["content"][0]["blob"] == sha256(str(n).encode()).hexdigest()


def test_the_limit_of_inputs_counts_the_rest(tmp_path):
    with everloop.open(settings=Settings(home=str(tmp_path), max_input_bytes=2_000)) as wheel:
        built(wheel, message({"data": b64(b"x" * 50_000), "media": "x/y"}))
        with pytest.raises(TooLarge, match="the limit is 2,000"):
            built(wheel, message({"data": b64(b"x"), "media": "x/y"}, {"text": "y" * 2_000}))


def test_bytes_sent_ahead_are_named_by_their_hash(wheel):
    hash = sha256(PNG).hexdigest()
    wheel.store.uses.announce([hash])
    wheel.store.blobs.put(PNG)
    made = built(wheel, message({"blob": hash, "media": "text/html", "size": -1, "name": "a.png"}))
    (found,) = made.attachments
    assert (found.media, found.size, found.name) == ("image/png", len(PNG), "a.png")
    model = wheel.store.blobs.put(b"a model's bytes")  # not an attachment, and nobody gets at it as one
    with pytest.raises(InvalidInput, match="there is no blob"):
        built(wheel, message({"blob": model}))


def test_another_picture_is_another_input(wheel):
    one, other = (
        built(wheel, message({"text": "what is this", "type": "text"}, {"image_url": {"url": url(PNG + x)}})).input
        for x in (b"1", b"2")
    )
    assert fingerprint(one) != fingerprint(other)
    again = built(wheel, message({"text": "What is  this", "type": "text"}, {"image_url": {"url": url(PNG + b"1")}}))
    assert fingerprint(again.input) == fingerprint(one)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from([url(PNG), b64(PNG), "0" * 64]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["data", "media", "blob", "url", "type", "content", "file_data", "audio", "mime_type", "x"]),
        inner, max_size=4,
    ),
    max_leaves=10,
)  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    with everloop.open(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


@given(value=st.dictionaries(st.sampled_from(["messages", "data", "blob", "media"]), json_values, max_size=3))
@settings(max_examples=100, deadline=None)
def test_anything_is_taken_whole_or_refused_in_one_line(fuzzed, value):
    try:
        made = built(fuzzed, value)
    except EverloopError as error:
        assert "\n" not in str(error)
        return
    plain = json.dumps(value).encode()
    assert may_hold(plain) or not made.attachments
    assert all(part.size for part in made.attachments)


def seen_by(wheel: Wheel, subject: str, *datas: bytes) -> list[str]:
    """Hashes of what a person sent, each in an interaction."""
    loop = wheel.loop("seen", task="chat")
    made = [loop.log(message({"data": b64(data), "media": "x/y"}), "ok", subject=subject) for data in datas]
    return [it.attachments[0].hash for it in made]


def test_forgetting_a_person_reaches_what_only_they_sent(wheel):
    mine, ours = seen_by(wheel, "ann", b"mine alone", b"ours")
    seen_by(wheel, "bob", b"ours")
    model = wheel.store.blobs.put(b"a model")
    assert wheel.forget("ann").rows["blob"] == 1
    assert not wheel.store.blobs.has(mine)
    assert wheel.store.blobs.has(ours)
    assert wheel.store.blobs.has(model)
    assert wheel.forget("bob").rows["blob"] == 1
    assert not wheel.store.blobs.has(ours)


def test_a_recording_named_by_feedback_goes_with_it(wheel):
    loop = wheel.loop("seen", task="chat")
    it = loop.log("turn left", "left", subject="ann")
    hash = sha256(b"window").hexdigest()
    wheel.store.uses.announce([hash])
    wheel.store.blobs.put(b"window")
    wheel.store.records.put(Intervention(id="f", interaction=it.id, at=1, value="right", window=hash))
    later = everloop.ids.now() + 100 * 3_600_000
    assert wheel.store.uses.sweep(wheel.store.blobs.delete, later) == 0
    wheel.forget("ann")
    assert not wheel.store.blobs.has(hash)


def test_killed_between_the_rows_and_the_bytes_the_next_sweep_finishes(wheel):
    (mine,) = seen_by(wheel, "ann", b"mine alone")
    wheel.store.records.erase(wheel.door.pseudonyms.of("ann"))  # and then the process was killed
    assert wheel.store.blobs.has(mine)
    wheel.forget("ann")
    assert not wheel.store.blobs.has(mine)


def test_killed_before_the_interaction_its_bytes_are_swept_a_day_later(tmp_path):
    code = (
        "import os, sys, everloop\n"
        "from everloop.collect import build_interaction\n"
        "from everloop.types import LoopSpec\n"
        "wheel = everloop.open(sys.argv[1])\n"
        "build_interaction(LoopSpec(name='seen'), {'input': {'data': 'bG9zdA==', 'media': 'x/y'}}, wheel.door)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(everloop.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, check=False)
    hash = sha256(b"lost").hexdigest()
    with everloop.open(tmp_path) as wheel:
        assert wheel.sweep() == 0  # it may still be on its way
        assert wheel.store.blobs.has(hash)
        later = everloop.ids.now() + 1
        assert wheel.store.uses.sweep(wheel.store.blobs.delete, later) == 1
        assert not wheel.store.blobs.has(hash)


def test_a_models_bytes_are_no_attachment_even_if_somebody_sends_the_same(tmp_path):
    with open_store(tmp_path) as store:
        hash = store.blobs.put(b"weights")
        model = everloop.types.Model(
            id="m", loop="seen", turn=1, spec=everloop.types.Spec(name="x.v1"), dataset="d", blob=hash, size=7,
            classes=(), seconds=0.0, at=1,
        )  # fmt: skip
        store.records.replace(model)
        store.uses.announce([hash])
        assert store.uses.sweep(store.blobs.delete, everloop.ids.now() + 1) == 0
        assert store.blobs.has(hash)
