"""The events, by who sends them and where."""

from rtproto.events import client, server, translation

__all__ = ["client", "server", "translation"]
