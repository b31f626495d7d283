"""What a product imports: log answers and feedback without ever waiting for the network or failing because of it."""

from everloop.client.client import Client
from everloop.client.counts import Stats
from everloop.client.events import Priority
from everloop.client.predicting import Answer
from everloop.client.spool import Spool
from everloop.client.transport import Unreachable

__all__ = ["Answer", "Client", "Priority", "Spool", "Stats", "Unreachable"]
