"""Put Everloop in front of a model: the OpenAI client changes its base_url, and everything it hears is kept.

python examples/gateway.py            # a stub stands for the model
OPENAI_API_KEY=… python examples/gateway.py    # asks OpenAI's gpt-5-mini and gpt-5-nano
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai

import everloop
from everloop.types import Interaction


class Stub(BaseHTTPRequestHandler):
    """Answers as an OpenAI-compatible API does, and knows one sentence."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = f"{asked['model']} says: please look into the app, it shows where your card is."
        usage = {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}
        made = {"id": "1", "created": 1, "model": asked["model"]}
        if asked.get("stream"):
            words = [{"delta": {"content": word + " "}, "finish_reason": None} for word in text.split()]
            chunks = [{"choices": [{"index": 0, **one}]} for one in [*words, {"delta": {}, "finish_reason": "stop"}]]
            events = [
                {**made, "object": "chat.completion.chunk", **one} for one in [*chunks, {"choices": [], "usage": usage}]
            ]
            body = "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n"
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            body = json.dumps({**made, "object": "chat.completion", "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def variants():
    """Two ways to answer: OpenAI's, or the stub's where there is no key."""
    if os.environ.get("OPENAI_API_KEY"):
        upstream = {"url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY"}
        models = ["gpt-5-mini", "gpt-5-nano"]
    else:
        stub = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
        threading.Thread(target=stub.serve_forever, daemon=True).start()
        upstream, models = {"url": f"http://127.0.0.1:{stub.server_port}/v1"}, ["large", "small"]
    weights = [3, 1]
    return [{"name": name, "model": name, "weight": weight, "price": {"input": 0.25, "output": 2.0}, **upstream}
            for name, weight in zip(models, weights, strict=True)]  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as home, socket.socket() as probe:
        with everloop.open(home) as wheel:
            wheel.loop("desk", task="chat", signal="people say which answers helped", variants=variants())
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        words = ["up", "--home", home, "--port", str(port)]
        server = subprocess.Popen([sys.executable, "-m", "everloop.cli", *words], stdout=subprocess.PIPE, text=True)  # noqa: S603
        try:
            next(line for line in server.stdout if line.startswith("stop"))
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
            for n in range(8):
                answer = client.chat.completions.create(
                    model="loop:desk", user=f"customer {n}", messages=[{"role": "user", "content": "where is my card?"}]
                )
                client.post(
                    "/feedback", cast_to=object, body={"interaction": answer.id, "kind": "thumb", "value": "up"}
                )
            stream = client.chat.completions.create(
                model="loop:desk", user="customer 1", messages=[{"role": "user", "content": "and when?"}], stream=True
            )
            print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
        finally:
            server.terminate()
            server.wait()
        with everloop.open(home) as wheel:
            kept = wheel.store.records.find(Interaction, "desk")
        for name in sorted({it.variant for it in kept}):
            mine = [it for it in kept if it.variant == name]
            print(f"{name}: {len(mine)} answers, {sum(it.cost for it in mine):.6f} spent")
        print(f"kept: {len(kept)} interactions with their variant, propensity, tokens and cost")


if __name__ == "__main__":
    main()
