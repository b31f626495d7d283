"""The folder a command works in."""

import argparse
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from everloop.auditing import acting, entry
from everloop.errors import InvalidInput, NotFound
from everloop.settings import Settings
from everloop.wheel import Loop, Wheel
from everloop.wheel import open as open_wheel


@contextmanager
def opened(args: argparse.Namespace, *, create: bool = False) -> Iterator[Wheel]:
    """The wheel in ``--home``. Without `create` a folder that is not there is a mistake: a slip of the pen in
    ``--home`` must not leave an empty store behind, and answer from it."""
    settings = Settings.load(home=args.home)
    if settings.folder.exists() and not settings.folder.is_dir():
        raise InvalidInput(f"{settings.home} is a file, not a folder")
    if not create and not settings.folder.is_dir():
        raise NotFound(f"no folder {settings.home}; declare a first loop with: everloop init NAME --task classify")
    with open_wheel(settings=settings) as wheel:
        yield wheel


def acted(wheel: Wheel, action: str, *, target: str = "", loop: str = "") -> AbstractContextManager[None]:
    """Around a change by hand: it stands in the audit log."""
    return acting(wheel.store.records, entry("cli", action, target=target, loop=loop))


def chosen(wheel: Wheel, name: str | None) -> list[Loop]:
    """The loop called `name`, or every loop; raises NotFound where there is none."""
    if name is not None:
        return [wheel.get(name)]
    loops = wheel.loops()
    if not loops:
        raise NotFound("no loop yet; declare one with: everloop init NAME --task classify")
    return loops
