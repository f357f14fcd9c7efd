"""Who sent a frame that does not say is told by its type: no client's name is a server's."""

from rtproto.capture import Direction
from rtproto.codec import client_codec, translation_client_codec

__all__ = ["sender"]

_CLIENTS = client_codec.types.keys() | translation_client_codec.types.keys()


def sender(name: str) -> Direction:
    """Who sends events of a type; what nobody knows is a server's."""
    return "client" if name in _CLIENTS else "server"
