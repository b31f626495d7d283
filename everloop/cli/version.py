"""``everloop version``."""

import argparse
import platform
from importlib import metadata

from everloop.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the version of Everloop and of the Python it runs on."""
    found = {"everloop": metadata.version("everloop"), "python": platform.python_version()}
    console.document(found)
    console.say(f"everloop {found['everloop']} on Python {found['python']}")
    return 0
