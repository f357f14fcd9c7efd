"""Sessions of one machine are listened to on many, by NATS: what is lost on the way is counted and told.

Every session that begins has a random *epoch*, and subjects of its own:

- ``PREFIX.live.NAME.EPOCH.control`` and ``.audio``: what it says, in order, behind how far it had come;
- ``PREFIX.snapshot.NAME.EPOCH``: what a late joiner is told, for all edges that asked;
- ``PREFIX.sessions``: which sessions a hub has, again and again; ``PREFIX.who`` asks all hubs for that;
- ``PREFIX.ask.HUB``: asks a hub for a session's snapshot, or brings it a speaker's event.
"""

from rtproto.services.fanout.nats.bus import NatsBus

__all__ = ["NatsBus"]
