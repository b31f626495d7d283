"""The server: API, pages and the worker that turns the loops, in one process."""

from everloop.server.app import create_app, serve

__all__ = ["create_app", "serve"]
