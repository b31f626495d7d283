"""How a person gets at the pages once there are keys: paste a key, hold a session for a working day, log out."""

import re
from urllib.parse import parse_qs

from everloop.auditing import entry
from everloop.errors import UserError
from everloop.server.access import Access
from everloop.server.sessions import HOURS, Sessions
from everloop.server.table import Operation
from everloop.server.views import Pages
from everloop.server.wire import Call, Reply, one_line, redirect
from everloop.store import Records

_PATH = re.compile(r"/(?![/\\])[ -~]{0,500}")  # of ours: "//elsewhere" and "/\elsewhere" lead away


class Login:
    """The handlers of the login page."""

    def __init__(self, access: Access, sessions: Sessions, pages: Pages, records: Records, proxies: int):
        self._access = access
        self._sessions = sessions
        self._pages = pages
        self._records = records
        self._proxies = proxies

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the table."""
        op = Operation
        return (
            op("GET", "/login", "Where a key is pasted to see the pages.", self.page, public=True),
            op("POST", "/login", "Begin a session.", self.begin, public=True, audited=False,
               also=("application/x-www-form-urlencoded",),
               replies=((303, "Logged in; the page that was wanted is next."), (401, "No such key."))),
            op("POST", "/logout", "End the session.", self.end, public=True, audited=False,
               replies=((303, "Logged out."),)),
        )  # fmt: skip

    def page(self, call: Call) -> Reply:
        """The form; who needs no login, or has one, is sent on."""
        wanted = _wanted(call.query.get("next", ""))
        if self._access.open or self._access.session(call.header("cookie").encode("latin-1")):
            return redirect(wanted)
        return self._form(wanted)

    def begin(self, call: Call) -> Reply:
        """A session for who has a key that may see pages."""
        given = _form_of(call.body)
        wanted = _wanted(given.get("next", [""])[0])
        if self._access.open:
            return redirect(wanted)
        try:
            key = self._access.login(given.get("key", [""])[0].strip(), call.peer, call.header("x-forwarded-for"))
        except UserError as error:
            made = self._form(wanted, one_line(error))
            return made._replace(status=error.status, headers=(*made.headers, *getattr(error, "headers", ())))
        self._records.put(entry(key.id, "login"))
        return redirect(wanted, (self._cookie(call, self._sessions.begin(key), round(HOURS * 3600)),))

    def end(self, call: Call) -> Reply:
        """Forget the session, here and in the browser."""
        found = self._access.session(call.header("cookie").encode("latin-1"))
        if found is not None:
            self._sessions.end(found[0])
            self._records.put(entry(found[1].id, "logout"))
        return redirect("/login", (self._cookie(call, "", 0),))

    def _form(self, wanted: str, problem: str = "") -> Reply:
        return self._pages.render("login.html", here="login", wanted=wanted, problem=problem)

    def _cookie(self, call: Call, value: str, seconds: int) -> tuple[bytes, bytes]:
        # Behind a trusted proxy that speaks TLS the cookie must not travel without.
        secure = "; Secure" if self._proxies and call.header("x-forwarded-proto").strip() == "https" else ""
        text = f"{self._sessions.cookie}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
        return b"set-cookie", text.encode("ascii")


def _form_of(body: bytes) -> dict[str, list[str]]:
    """The fields of a form; of what is none, none."""
    try:
        return parse_qs(body.decode(), max_num_fields=10)
    except ValueError:  # not UTF-8, or more fields than a form of ours has
        return {}


def _wanted(path: str) -> str:
    """Where to go after the login: a path of ours, or the first page.

    >>> _wanted("/loops/a"), _wanted("//evil.example"), _wanted("https://evil.example"), _wanted("/login")
    ('/loops/a', '/', '/', '/')
    """
    ours = _PATH.fullmatch(path) is not None and not path.startswith(("/login", "/logout"))
    return path if ours else "/"
