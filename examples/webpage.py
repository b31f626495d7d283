"""A web page whose visitors teach the models behind it: thumbs, corrections, votes, and what people do with an answer.

python examples/webpage.py    # a shop's page beside an Everloop server, until Ctrl-C; into a pipe: one round by itself
"""

import contextlib
import html
import re
import socket
import string
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import msgspec

import everloop
from everloop import keys
from everloop.client import Client
from everloop.errors import EverloopError
from everloop.types import FeedbackFields

PAGE = string.Template(Path(__file__).with_suffix(".html").read_text())
ASKED = {
    "card": ["where is my card", "the card has not arrived", "when does the new card come", "no card in the post"],
    "refund": ["i want my money back", "refund this purchase", "the shop keeps my money", "a refund is late"],
    "limit": ["raise my limit", "what is the most i can spend", "my limit is too low", "spend more per day"],
}
OPENINGS = ["hello", "good morning", "sorry to bother you", "quick question", "i am abroad and", "please"]
ANSWERS = {  # two wordings of each: which one helps?
    "card": ("your card takes five working days.", "cards take five working days; the app shows where yours is."),
    "refund": ("a refund takes ten days.", "we ask the shop today; the money is back in ten days at the latest."),
    "limit": ("you can raise it in the app.", "open the app, choose your card, then Limits: it counts at once."),
    None: ("please tell us more.", "we are not sure what you mean: is it your card, a refund or a limit?"),
}


class Shop(ThreadingHTTPServer):
    """The product: it asks Everloop what a question is about, and shows the page."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self.everloop = self.key = ""
        self.client = None

    def page(self, question):
        """The page that answers a question. Everything that comes from outside is escaped."""
        about = self.client.predict(question, loop="topics")
        # In what is logged stands what is masked on the page: corrections are compared with it.
        ids = [self.client.log(question, f"Dear •••, {text}", loop="wording") for text in ANSWERS[about.output]]
        filled = {
            "everloop": self.everloop, "key": self.key, "question": question, "again": quote(question),
            "topic": about.output or "something we do not know yet", "topic_id": about.id,
            "choices": "|".join(ASKED), "name": "Ada Lovelace", "first_id": ids[0], "second_id": ids[1],
            **dict(zip(("first", "second"), ANSWERS[about.output], strict=True)),
        }  # fmt: skip
        return PAGE.substitute({name: html.escape(text) for name, text in filled.items()})


class Handler(BaseHTTPRequestHandler):
    """One page, at /?q=a question."""

    def do_GET(self):
        asked = urlsplit(self.path)
        question = parse_qs(asked.query).get("q", [""])[0].strip()[:300] or ASKED["card"][0]
        status, text = (200, None) if asked.path == "/" else (404, "There is nothing here.")
        try:
            text = text or self.server.page(question)
        except EverloopError:  # the shop stays up whatever becomes of what is beside it
            status, text = 503, "We have no answer right now; please come back in a minute."
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def running():
    """The shop and, beside it, an Everloop server with keys: (the shop, the folder of the server)."""
    with tempfile.TemporaryDirectory() as home, Shop() as shop:
        with everloop.open(home) as wheel:
            topics = wheel.loop("topics", signal="visitors correct the topic", labels=list(ASKED))
            for label, texts in ASKED.items():
                for opening in OPENINGS:
                    topics.log_many([{"input": f"{opening} {text}", "label": label} for text in texts])
            topics.turn()
            wheel.loop("wording", task="chat", signal="visitors say which answer helped")
            records = wheel.store.records
            # As `everloop keys create --role client` and `… --role publishable --origin http://…` would.
            secret = keys.create(records, "the shop's server", "client").secret
            shop.key = keys.create(records, "the shop's pages", "publishable", origins=[shop.origin]).secret
        with started(home) as shop.everloop, Client(shop.everloop, key=secret) as shop.client:
            threading.Thread(target=shop.serve_forever, daemon=True).start()
            yield shop, home
            shop.shutdown()


@contextlib.contextmanager
def started(home):
    """`everloop up` on a free port: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "everloop.cli", "up", "--home", home, "--port", str(port)]
    # In a session of its own: Ctrl-C is for the shop, which stops it when it has sent what it has.
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603
    try:
        next(line for line in server.stdout if line.startswith("stop"))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def a_round(shop):
    """What a visitor's browser would send after a look at the page."""
    page = httpx.get(shop.origin, params={"q": "where is the card you promised"}).text
    topic, first = re.findall(r'data-everloop="([^"]+)"', page)[:2]
    second = re.findall(r'data-everloop-vote="[^,"]+, ([^"]+)"', page)[0]
    visitor = {"subject": "web:visitor"}
    said = [
        {"interaction": topic, "kind": "thumb", "value": "up"},
        {"interaction": first, "kind": "correction", "value": "Dear •••, see the app.", "rationale": "faster"},
        {"interaction": first, "kind": "vote", "value": "other", "other": second},
        {"interaction": first, "kind": "implicit", "value": "dwell", "dwell_ms": 4_200, "position": 1},
    ]
    body = b"\n".join(msgspec.json.encode({**one, **visitor}) for one in said)
    headers = {"origin": shop.origin, "content-type": "text/plain"}
    answer = httpx.post(f"{shop.everloop}/v1/feedback", params={"key": shop.key}, content=body, headers=headers)
    answer.raise_for_status()


def arrived(home):
    """What visitors said, as it is stored: {kind: how many}."""
    with everloop.open(home) as wheel:
        found = wheel.store.records.find(FeedbackFields)
    said = Counter(type(one).__name__.lower() for one in found if one.source == "user")
    return ", ".join(f"{count} {kind}" for kind, count in sorted(said.items())) or "nothing"


def main() -> None:
    with running() as (shop, home):
        print(f"the shop is on {shop.origin}, Everloop on {shop.everloop}; stop: Ctrl-C", flush=True)
        if sys.stdout.isatty():
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
        else:
            a_round(shop)
        shop.client.flush()
        print(f"arrived: {arrived(home)}")


if __name__ == "__main__":
    main()
