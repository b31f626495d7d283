"""One exception tree. A user's mistake gets one line that says what to change.

EverloopError
├── UserError              the caller can mend it; `status` is what HTTP answers
│   ├── InvalidInput       422  a value that can't be taken
│   │   └── TooLarge       413  more bytes than the limit
│   ├── NotFound           404  no such loop, interaction, model, version, review
│   └── Conflict           409  it is there already and differs, or somebody else holds it
├── StoreError             the folder or database can't do its work
│   ├── StoreTooNew        written by a newer Everloop
│   ├── StoreFull          the disk is full: nothing of the batch was written
│   └── StoreDamaged       bytes are not what they were
└── LeaseLost              somebody else took over this piece of work: stop without writing
"""


class EverloopError(Exception):
    """Anything Everloop raises on purpose. The message is one line."""

    status = 500


class UserError(EverloopError):
    """The caller can mend it."""

    status = 400


class InvalidInput(UserError):
    """A value that can't be taken."""

    status = 422


class TooLarge(InvalidInput):
    """More bytes than the limit."""

    status = 413


class NotFound(UserError):
    """No such loop, interaction, model, dataset version or review."""

    status = 404


class Conflict(UserError):
    """It is there already and differs, or somebody else holds it."""

    status = 409


class StoreError(EverloopError):
    """The folder or database can't do its work."""

    status = 503


class StoreTooNew(StoreError):
    """Written by a newer Everloop than this one."""


class StoreFull(StoreError):
    """The disk is full: nothing of the batch was written."""

    status = 507


class StoreDamaged(StoreError):
    """Bytes are not what they were."""


class LeaseLost(EverloopError):
    """Somebody else took over this piece of work."""

    status = 409
