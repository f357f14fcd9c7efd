"""A peer is one way to speak the protocol; each does the same work under the same names, or says why not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypedDict

__all__ = ["ADDRESS", "EDITED", "Address", "CannotDo", "Peer", "Text", "Work", "cannot"]

Text: TypeAlias = bytes | str
"""What goes to a WebSocket's ``send``."""

EDITED: Final = "edited"
"""What an edit puts in the place of what was there."""


class Address(TypedDict):
    """Where a delta belongs."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


ADDRESS: Final[Address] = {
    "response_id": "resp_0a1b2c3d4e5f6g7h8i9j0",
    "item_id": "item_0a1b2c3d4e5f6g7h8i9j0",
    "output_index": 0,
    "content_index": 0,
}
"""The address of every delta that a peer makes."""


Work: TypeAlias = Callable[[Any], Any]
"""A piece of work, called with one argument, as the peer's users would write it."""


class CannotDo(Exception):
    """A peer does not do the work; the message says why, in a few words."""


def cannot(reason: str) -> Work:
    """Stands where a peer does not do the work.

    Raises:
        CannotDo: when it is called.
    """

    def work(_: Any) -> Any:
        raise CannotDo(reason)

    return work


@dataclass(frozen=True, kw_only=True)
class Peer:
    """The work of one peer. ``kind`` and ``read`` are for checking it, and are not timed."""

    label: str
    """What a table calls it."""
    libraries: tuple[str, ...]
    """The distributions it is made of; none: the standard library."""
    imports: str
    """The statement by which its user imports it."""
    remark: str
    """What it does not do, in a sentence."""

    models: bool
    """Whether its events are models, which may pass over fields, and not all that was on the wire."""
    kind: Callable[[Any], str]
    """The wire name by which a decoded event is told from others."""
    read: Callable[[Any], Any]
    """A decoded event as plain Python objects."""

    decode: Work
    """A frame from the service ⇒ its event."""
    decode_client: Work
    """A frame from a client ⇒ its event."""
    fault: Work
    """A frame of a known type and the wrong shape ⇒ what is wrong with it, and where."""
    encode: Work
    """An event ⇒ what is sent."""
    encode_into: Work
    """An event ⇒ a buffer that is used again."""
    make_delta: Work
    """An event id and a word ⇒ a ``response.output_text.delta``, to be sent."""
    make_item: Work
    """A text ⇒ a ``conversation.item.create`` of a user's message, to be sent."""
    probe: Work
    """A frame ⇒ its type."""
    forward: Work
    """A frame ⇒ its type, and what is sent on: the bytes that came."""
    replace: Work
    """A frame ⇒ the same with another ``event_id``."""
    set_model: Work
    """A frame that holds a session ⇒ the same with another ``session.model``."""
    to_pcm: Work
    """A frame of a ``response.output_audio.delta`` ⇒ its audio."""
    from_pcm: Work
    """Audio ⇒ an ``input_audio_buffer.append``, to be sent."""
