"""What campaigns would like to have sent, and what of it their budgets grant: once, whoever asks, and charged first."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from everloop.client.events import RANKS, Event
from everloop.client.ledger import Account, Book, Ledger
from everloop.client.predicates import Predicate, parse
from everloop.client.recent import Recent, Seen
from everloop.types import Campaign

_UPLOAD = "uploaded_for"  # in the context of what is sent: which campaign, and whose window it is in


class Running:
    """A campaign this device takes part in. Raises InvalidInput if the device can't read its predicate."""

    __slots__ = ("asks", "campaign", "key")

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.key = f"{campaign.loop}/{campaign.id}"
        self.asks: Predicate = parse(campaign.when, self.key)


class Moment:
    """Campaigns matched: they want this interaction, what was seen shortly before it, and what will be after it."""

    __slots__ = ("campaigns", "granted", "loop", "of", "said", "seen", "session", "when")

    def __init__(self, campaigns: tuple[Running, ...], seen: Seen | None, of: str, when: float) -> None:
        self.campaigns = campaigns  # the first that has room pays
        self.seen = seen  # None: not known here any more
        self.of = of  # id of the interaction
        self.when = when
        self.loop = campaigns[0].campaign.loop
        self.session = seen.session if seen is not None else None
        self.said: Event | None = None  # feedback that brought it about and was not sent by itself
        self.granted: Running | None = None

    @property
    def until(self) -> float:
        """What is seen until then may be wanted for it."""
        return self.when + max(one.campaign.after_s for one in self.campaigns)

    def around(self, seen: Seen) -> bool:
        """Whether it is of the same stream: the same loop and session, as others' sessions are none of its business."""
        return seen.loop == self.loop and seen.session == self.session


class Inside(NamedTuple):
    """An interaction seen while the windows of moments were open."""

    seen: Seen
    moments: tuple[Moment, ...]


class Later(NamedTuple):
    """Feedback on an interaction that a campaign had sent."""

    said: Event
    running: Running


Wish = Moment | Inside | Later


class Granting:
    """One round: wishes in, `out` is what may be sent once the book is on disk; `undo` if it could not be."""

    def __init__(self, ledger: Ledger, book: Book, recent: Recent) -> None:
        self._ledger = ledger
        self._book = book
        self._recent = recent
        self._taken: list[Seen] = []
        self.out: list[Event] = []

    def grant(self, wish: Wish) -> None:
        """Put to `out` what of a wish is granted."""
        match wish:
            case Moment():
                for one in wish.campaigns:
                    if self._moment(one, wish):
                        wish.granted = one
                        return
            case Inside(seen, moments):
                for moment in moments:
                    payer = moment.granted
                    if payer is not None and seen.when <= moment.when + payer.campaign.after_s:
                        account = self._account(payer)
                        if account is not None and self._send(payer, account, seen, moment.of):
                            return
            case Later(said, running):
                account = self._account(running)
                if account is not None and self._charged(running, account, [said]):
                    self.out.append(said)

    def undo(self) -> None:
        """Nothing was sent after all."""
        for seen in self._taken:
            seen.paid = None
        self.out = []

    def _account(self, one: Running) -> Account | None:
        if self._ledger.over(one.campaign.until):
            return None
        return self._ledger.account(self._book, one.key, one.campaign)

    def _moment(self, one: Running, moment: Moment) -> bool:
        """Grant a moment to a campaign, as one upload however much is in its window; False if it has no room for it."""
        account = self._account(one)
        if account is None or self._ledger.full(account, one.campaign) is not None:
            return False
        before = len(self.out)
        if moment.seen is not None and not self._send(one, account, moment.seen, None):
            return False
        if moment.said is not None and self._charged(one, account, [moment.said]):
            self.out.append(moment.said)
        if one.campaign.before_s:
            for seen in list(self._recent.back(moment.when - one.campaign.before_s, moment.when)):
                if moment.around(seen) and not self._send(one, account, seen, moment.of):
                    break  # the nearest come first; what is further off finds no room either
        if len(self.out) > before or one.campaign.after_s:
            self._ledger.count(account)
        return True

    def _send(self, one: Running, account: Account, seen: Seen, window_of: str | None) -> bool:
        """Send an interaction and what was said of it, if it is not sent yet; False if the bytes do not reach."""
        if seen.paid is not None or not seen.may:
            return True
        events = [explained(seen.event, one.campaign, window_of), *seen.said]
        if not self._charged(one, account, events):
            return False
        seen.paid = one.key
        self._taken.append(seen)
        self.out += events
        return True

    def _charged(self, one: Running, account: Account, events: Sequence[Event]) -> bool:
        size = sum(len(event.body) + 1 for event in events)
        if account.barred or (one.campaign.bytes is not None and account.bytes + size > one.campaign.bytes):
            return False
        account.bytes += size
        return True


def explained(event: Event, campaign: Campaign, window_of: str | None) -> Event:
    """An interaction as it is sent for a campaign: with its class, and what it was sent for in its context."""
    fields: dict[str, Any] = msgspec.json.decode(event.body)
    why: dict[str, Any] = {"campaign": campaign.id, "version": campaign.version}
    if window_of is not None and window_of != event.id:
        why["window_of"] = window_of
    fields["context"] = {**fields.get("context", {}), _UPLOAD: why}
    return event._replace(body=msgspec.json.encode(fields), rank=RANKS[campaign.priority])
