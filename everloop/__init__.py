"""Everloop: an open, self-hosted data flywheel. What people do with your model's answers makes the next ones better.

>>> import everloop, tempfile
>>> wheel = everloop.open(tempfile.mkdtemp())
>>> loop = wheel.loop("support", signal="agents correct the suggested intent")
>>> answer = loop.predict("my card has not arrived", subject="u42")
>>> print(answer.output)  # it has learned nothing yet, so it abstains
None
>>> loop.feedback(answer.id, correction="card_arrival", rationale="asks where it is")
'new'
>>> wheel.close()
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everloop.wheel import Loop, Wheel, open

__version__ = "0.1.0"
__all__ = ["Loop", "Wheel", "__version__", "open"]


def __getattr__(name: str) -> Any:
    # The front door is opened when somebody knocks: `import everloop` alone costs nothing.
    if name in ("Loop", "Wheel", "open"):
        from everloop import wheel

        return getattr(wheel, name)
    raise AttributeError(f"module 'everloop' has no attribute {name!r}")
