"""Token buckets: how often somebody may, and how long they have to wait if it was too often.

They live in this process: several processes on one folder each allow as much. A bucket that has filled up again is
forgotten, and at most `most` are kept, so that many names cost no memory.
"""

import ipaddress
import time
from collections.abc import Callable

BURST_SECONDS = 2.0  # a bucket holds what its rate gives in so long, and at least:
FEWEST = 10.0
_SHOWN = 64  # characters of an address that are looked at


class Buckets:
    """Buckets by name."""

    def __init__(self, most: int = 20_000, clock: Callable[[], float] = time.monotonic):
        self._levels: dict[str, tuple[float, float, float]] = {}  # name -> (level, when that was, when it is full)
        self._most = most
        self._clock = clock

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, name: str, rate: float, burst: float | None = None) -> float:
        """Take one token of bucket `name`, which gets `rate` a second and holds `burst`; seconds to wait if it is
        empty, 0 if one was taken.

        >>> buckets = Buckets(clock=lambda: 0.0)
        >>> [buckets.take("anna", 2.0, burst=2.0) for _ in range(3)]
        [0.0, 0.0, 0.5]
        """
        size = max(FEWEST, rate * BURST_SECONDS) if burst is None else burst
        now = self._clock()
        found = self._levels.get(name)
        if found is None:
            level = size
            if len(self._levels) >= self._most:
                self._forget(now)
        else:
            level = min(size, found[0] + (now - found[1]) * rate)
        if level < 1.0:
            return (1.0 - level) / rate
        level -= 1.0
        self._levels[name] = (level, now, now + (size - level) / rate)
        return 0.0

    def _forget(self, now: float) -> None:
        """Full ones first; if there are too few of these, the half that was made first."""
        kept = {name: one for name, one in self._levels.items() if one[2] > now}
        if len(kept) > self._most // 2:
            kept = dict(list(kept.items())[len(kept) // 2 :])
        self._levels = kept


def address_of(peer: str, forwarded: bytes, proxies: int) -> str:
    """Whose request it is, as the name of a bucket: an IPv4 address, or the /64 of an IPv6 address.

    `peer` is at the other end of the connection. With `proxies` trusted ones in front, it is what the first of them
    wrote into X-Forwarded-For (`forwarded`): each appends the address it was called from, so what a client made up
    stands further left and is not looked at.

    >>> address_of("10.0.0.1", b"made.up, 203.0.113.7", 1), address_of("203.0.113.7", b"made.up", 0)
    ('203.0.113.7', '203.0.113.7')
    """
    if proxies:
        hops = forwarded.decode("latin-1").split(",")
        if len(hops) >= proxies:
            return network(hops[-proxies].strip())
    return network(peer)


def network(address: str) -> str:
    """An address as one customer of a network has it: IPv4 whole, of IPv6 the first 64 bits.

    >>> network("203.0.113.7:5123"), network("2001:db8::1:2"), network("::ffff:203.0.113.7"), network("unknown")
    ('203.0.113.7', '2001:db8::', '203.0.113.7', 'unknown')
    """
    if address.count(":") == 1:  # some proxies add the port
        address = address.partition(":")[0]
    if ":" not in address:
        return address[:_SHOWN]
    try:
        whole = ipaddress.IPv6Address(address[:_SHOWN].partition("%")[0])
    except ValueError:
        return address[:_SHOWN]
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(whole) >> 64 << 64))
