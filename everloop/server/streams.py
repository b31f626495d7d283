"""Server-sent events: bytes as they come from an upstream, cut into events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, section "Parsing an event stream".
"""

import re

from everloop.server.upstream import UpstreamFailed

MOST_EVENT = 8 << 20  # bytes of one event: an image in base64 fits
DONE = b"[DONE]"
_END_OF_LINE = re.compile(rb"\r\n|\n|\r")


class Events:
    """Takes bytes in any portions, gives the data of the events that are complete.

    >>> events = Events()
    >>> events.feed(b'data: {"a":'), events.feed(b' 1}\\n\\n: a comment\\n\\ndata: [DONE]\\n\\n')
    ([], [b'{"a": 1}', b'[DONE]'])
    """

    def __init__(self) -> None:
        self._rest = b""
        self._searched = 0  # of the rest, where no line ends
        self._data: list[bytes] = []
        self._size = 0
        self._first = True

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that `data` completes; UpstreamFailed for one that is too long."""
        text = self._rest + data if self._rest else data
        if self._first and len(text) >= 3:
            text, self._first = text.removeprefix(b"\xef\xbb\xbf"), False
        made: list[bytes] = []
        start = 0
        for end in _END_OF_LINE.finditer(text, max(0, self._searched - 1)):
            if end.group() == b"\r" and end.end() == len(text):
                break  # the "\n" of this line's end may still come
            self._line(text[start : end.start()], made)
            start = end.end()
        self._rest = text[start:]
        self._searched = len(self._rest)
        if self._size + len(self._rest) > MOST_EVENT:
            raise UpstreamFailed(f"the upstream sent an event of more than {MOST_EVENT:,} bytes")
        return made

    def _line(self, line: bytes, made: list[bytes]) -> None:
        if line.startswith(b"data:"):
            value = line[5:].removeprefix(b" ")
            self._data.append(value)
            self._size += len(value)
        elif not line and self._data:
            made.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
            self._data, self._size = [], 0

    def rest(self) -> list[bytes]:
        """The last event, where the stream ended without the empty line after it."""
        made: list[bytes] = []
        self._line(self._rest.removesuffix(b"\r"), made)
        self._rest = b""
        self._line(b"", made)
        return made


def event(data: bytes) -> bytes:
    """An event that carries one line."""
    return b"data: " + data + b"\n\n"
