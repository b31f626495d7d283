"""Deploy: which model answers. Releases are only ever added; the newest one decides."""

from everloop.deploy.releases import live, promote, roll_back

__all__ = ["live", "promote", "roll_back"]
