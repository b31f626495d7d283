"""``everloop up``: the gateway, the worker and the pages, in one process."""

import argparse
import errno
import socket

from everloop.cli.console import Console
from everloop.errors import Conflict, InvalidInput
from everloop.keys import MAKE_ONE
from everloop.server.app import check_keys, serve
from everloop.settings import Settings

_PORTS = range(1, 65536)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    parser.add_argument("--host", help="address to listen on; without keys, this machine only (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (8700)")
    parser.add_argument("--processes", type=int, metavar="N", help="serving processes, side by side (1)")


def run(args: argparse.Namespace, console: Console) -> int:
    """Serve until interrupted."""
    settings = Settings.load(home=args.home, host=args.host, port=args.port, processes=args.processes)
    if not settings.folder.is_dir():
        check_keys(None, settings.host)
    check_address(settings.host, settings.port)
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{shown}:{settings.port}"

    def told(is_open: bool) -> None:
        console.document({"address": address, "home": str(settings.folder.resolve())})
        console.say(f"everloop on {address}")
        console.facts([
            ("pages", f"{address}/"),
            ("API", f"{address}/docs"),
            ("folder", str(settings.folder.resolve())),
            ("access", f"open, no keys: loopback only; to close it: {MAKE_ONE}" if is_open else "with keys only"),
            ("stop", "Ctrl-C"),
        ])  # fmt: skip
        console.close()

    serve(settings, told)
    return 0


def check_address(host: str, port: int) -> None:
    """Raise InvalidInput for an address that can't be, Conflict for a port that is taken."""
    if port not in _PORTS:
        raise InvalidInput(f"--port {port}: must be 1 to 65535")
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise InvalidInput(f"--host {host}: no such address") from None
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT is not in use
        try:
            probe.bind(where)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Conflict(f"port {port} is in use; try: everloop up --port {port % 65535 + 1}") from None
            if error.errno == errno.EACCES:
                raise InvalidInput(f"port {port} needs more rights than you have; use one above 1023") from None
            if error.errno == errno.EADDRNOTAVAIL:
                raise InvalidInput(f"--host {host}: not an address of this machine") from None
            raise
