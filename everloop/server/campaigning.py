"""Handlers of campaigns: for the devices that take part, and for the people who run them. Plain: each in a thread."""

import msgspec

from everloop.auditing import along, noted
from everloop.collect.campaigns import Came, came_of, change, etag, find, for_devices
from everloop.errors import InvalidInput
from everloop.ids import now
from everloop.server.bodies import CampaignAsked, Campaigns, CampaignView
from everloop.server.table import Operation
from everloop.server.wire import Call, Reply, decode, reply
from everloop.types import Campaign
from everloop.wheel import Wheel


class Campaigning:
    """Campaigns of a loop."""

    def __init__(self, wheel: Wheel):
        self._wheel = wheel
        self._records = wheel.store.records

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the table."""
        op, path = Operation, "/v1/loops/{name}/campaigns"
        return (
            op("GET", path, "What devices are asked to send: the active ones, or 304 if the ETag still stands.",
               self.listed, Campaigns, tag="loops", roles=("developer", "reviewer", "client"),
               query=(("state", '"all" for paused and ended ones too'),),
               replies=((200, "They are these."), (304, "Nothing has changed."))),
            op("GET", f"{path}/{{id}}", "A campaign, and what came of it.", self.one, CampaignView, tag="loops"),
            op("PUT", f"{path}/{{id}}", "Declare a campaign, change, pause or end it; what is left out stays.",
               self.change, Campaign, CampaignAsked, "loops"),
        )  # fmt: skip

    def listed(self, call: Call) -> Reply:
        """The campaigns of a loop."""
        loop = self._wheel.get(call.params["name"])
        state = call.query.get("state", "active")
        if state not in {"active", "all"}:
            raise InvalidInput(f"state: active or all, not {state[:40]!r}")
        states = ("active", "paused", "ended") if state == "all" else ("active",)
        there = self._records.find(Campaign, loop.name, state=states)
        time = now()
        found = there if state == "all" else for_devices(there, time)
        tag = etag(found)
        headers = ((b"etag", tag.encode()), (b"everloop-time", str(time).encode()), (b"cache-control", b"no-cache"))
        known = {one.strip().removeprefix("W/") for one in call.header("if-none-match").split(",")}
        if tag in known or "*" in known:
            return Reply(304, b"", headers=headers)
        return reply(Campaigns(found))._replace(headers=headers)

    def one(self, call: Call) -> Reply:
        """One campaign."""
        loop, id = self._wheel.get(call.params["name"]), call.params["id"]
        found = find(self._records, loop.name, id)
        return reply(CampaignView(found, came_of(self._records, loop.name).get(id, Came())))

    def change(self, call: Call) -> Reply:
        """Declare or change one."""
        loop, id = self._wheel.get(call.params["name"]), call.params["id"]
        asked = decode(call.body, CampaignAsked)
        changes = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not msgspec.UNSET}
        noted(target=id, loop=loop.name, detail=", ".join(changes))
        return reply(change(self._records, loop.name, id, changes, along()))
