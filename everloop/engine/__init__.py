"""Engine: where heavy work runs. Here, processes of this machine; a cluster stands behind the same call later."""

from everloop.engine.local import apart, each

__all__ = ["apart", "each"]
