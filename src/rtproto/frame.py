"""A frame is the bytes that came: looked into on demand, and edited without writing the rest anew.

::

    frame = ServerFrame(data)               # probed: constant time
    frame.data                              # what was given, to send on
    frame.event                             # typed on first use, as decode_server types it
    frame.get("response.status")            # one value, without typing the rest
    frame.set("session.model", "gpt-realtime")      # a new frame

An edit leaves everything outside the edited value as it was written: fields the model does not know, the
order of keys, ``1e3`` and ``1.0``, escapes, nulls. Only white space between the members of the objects on
the path may go.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar

from rtproto._difference import difference
from rtproto._encode import encode
from rtproto._envelope import Data, as_bytes, probe_type, reject, told
from rtproto._members import GONE, Change, Unwieldy, decode_value, edit, find, replace
from rtproto._salvage import Misfit
from rtproto._shown import shown
from rtproto._struct import Event
from rtproto.codec import (
    Codec,
    client_codec,
    server_codec,
    translation_client_codec,
    translation_server_codec,
)
from rtproto.errors import InvalidEvent, NoSuchPath, NotAnEvent, RtprotoError
from rtproto.events import client, server, translation
from rtproto.unknown import Unknown

__all__ = [
    "Changes",
    "ClientFrame",
    "Frame",
    "Path",
    "ServerFrame",
    "TranslationClientFrame",
    "TranslationServerFrame",
]

Path: TypeAlias = str | Sequence[str]
"""A value's place: keys joined by dots, or a sequence of keys where one may hold a dot itself.

Only through objects: an element of a list has no path."""

Changes: TypeAlias = Mapping[Any, Any]
"""New values by :data:`Path`, ``UNSET`` for what shall not be there."""

E = TypeVar("E", bound=Event)

_new = object.__new__


class Frame(Generic[E]):
    """The base of frames. For a codec of your own: ``class MyFrame(Frame[MyEvent]): codec = my_codec``.

    Do not change the buffer under a frame, nor its attributes: an edit makes another.

    Raises:
        NotAnEvent: the data is not a JSON object with a string ``type``, as far as the type tells.
    """

    __slots__ = ("_event", "data", "type")

    codec: ClassVar[Codec[Any]]
    """What types it."""
    data: Data
    """The object that was given; an edited frame's is ``bytes``, or ``str`` if this frame's is."""
    type: str
    """The event's wire name, as :func:`rtproto.probe_type` tells it."""
    _event: Any

    def __init__(self, data: Data) -> None:
        self.data = data
        self.type = probe_type(data)
        self._event = None

    def __repr__(self) -> str:
        unit = "characters" if isinstance(self.data, str) else "bytes"
        return f"{type(self).__name__}(type={shown(self.type)!r}, data=<{len(self.data)} {unit}>)"

    @property
    def event(self) -> E | Unknown:
        """The event, decoded on first use and kept; its ``type`` is the frame's.

        Raises:
            NotAnEvent: behind its type, the data is no JSON.
        """
        if self._event is None:
            self._event = self._decoded()
        return self._event  # type: ignore[no-any-return]

    def _decoded(self) -> E | Unknown:
        event: E | Unknown = self.codec.decode(self.data)
        if event.type != self.type:  # An event of two types is not to be taken for either.
            event = Unknown(self.type, encode(event), "$.type: given twice")
        return event

    def get(self, path: Path, default: Any = ...) -> Any:
        """One value, as Python objects, without typing the rest; of a repeated key the last.

        Raises:
            NoSuchPath: there is no such value, and no ``default`` for it.
            NotAnEvent, InvalidEvent: as in :meth:`replace`.
        """
        try:
            return decode_value(find(self._raw(), _steps(path)))
        except Misfit as misfit:
            if misfit.path and default is not ...:
                return default
            raise self._error(misfit) from None

    def __bytes__(self) -> bytes:
        """The data, whatever it was given as; raises ``NotAnEvent`` where that is no Unicode."""
        return self._raw()

    def text(self) -> str:
        """The data as text, for libraries that send a text frame only of ``str``.

        Raises:
            NotAnEvent: it is not UTF-8.
        """
        return self.data if isinstance(self.data, str) else _as_text(self.data)

    def replace(self, /, **fields: Any) -> Self:
        """The frame with these fields of the event set. A new field goes to the end.

        A value is a Python value, a Struct or an ``Unknown``, written as :func:`rtproto.encode` writes it
        (NaN as null, ``bytes`` as base64); ``msgspec.Raw``, written as it is; or ``UNSET``: then there is
        none, whether there was one or not.

        Raises:
            NotAnEvent: the data is no JSON, as far as it is read, or the edit leaves no event.
            InvalidEvent: the event spells or repeats its keys, and holds more than 20,000 values.
        """
        try:
            data = replace(self.data if type(self.data) is bytes else self._raw(), fields)
        except Misfit as misfit:
            raise self._error(misfit) from None
        return self._with(data, fields)

    def set(self, path: Path, value: Any) -> Self:
        """The frame with one value set, at any depth; values are as in :meth:`replace`.

        The last key of the path may be new; the objects before it must be there, unless for ``UNSET``.

        Raises:
            NoSuchPath: the path leads through what is not there, or is no object.
            NotAnEvent, InvalidEvent: as in :meth:`replace`.
        """
        return self._changed([(_steps(path), value)])

    def remove(self, *paths: Path) -> Self:
        """The frame without these values; to take out what may be absent, ``set`` it to ``UNSET``.

        Raises:
            ValueError: as in :meth:`edit`.
            NoSuchPath: one of them is not there.
            NotAnEvent, InvalidEvent: as in :meth:`replace`.
        """
        return self._changed([(_steps(path), GONE) for path in paths])

    def edit(self, changes: Changes) -> Self:
        """The frame with several values set in one pass, each as by :meth:`set`.

        Raises:
            ValueError: one of the paths leads into another, or is given twice.
            NoSuchPath: as in :meth:`set`.
            NotAnEvent, InvalidEvent: as in :meth:`replace`.
        """
        return self._changed([(_steps(path), value) for path, value in changes.items()])

    def with_event(self, event: E | Unknown) -> Self:
        """The frame with its event changed, as by ``msgspec.structs.replace(frame.event, …)``.

        Every field that the model does not know is carried over, at every depth, and what did not change
        stays as it is written. In a list an element is taken for the one it equals, else for the one of its
        ``type`` and its ``id``, ``call_id`` or ``name``, else, unless the list got shorter, for the one of
        its ``type`` in its place.

        Raises:
            TypeError: it is not of the class of this frame's own event.
            NotAnEvent: the data is no JSON.
        """
        known = self._decoded()  # anew: a list in the one that was given may have been changed since
        if type(event) is not type(known):
            raise TypeError(f"this frame's event is {type(known).__name__}, not {type(event).__name__}")
        try:
            return self._changed(difference(self._raw(), encode(known), encode(event)))
        except Misfit as misfit:
            raise self._error(misfit) from None

    def _raw(self) -> bytes:
        try:
            return as_bytes(self.data)
        except UnicodeEncodeError as refusal:
            reason = told(refusal)
        return reject(reason)

    def _changed(self, changes: list[Change]) -> Self:
        try:
            data = edit(self.data if type(self.data) is bytes else self._raw(), changes)
        except Misfit as misfit:
            raise self._error(misfit) from None
        return self._with(data, [steps[0] for steps, _ in changes])

    def _with(self, data: bytes, changed: Container[str]) -> Self:
        frame = _new(type(self))
        frame.data = _as_text(data) if isinstance(self.data, str) else data
        frame.type = probe_type(data) if "type" in changed else self.type
        frame._event = None  # noqa: SLF001 - a frame's own
        return frame

    def _error(self, misfit: Misfit) -> RtprotoError:
        if isinstance(misfit, Unwieldy):
            return InvalidEvent(self.type, "$", misfit.reason)
        if misfit.path:
            return NoSuchPath(self.type, f"${misfit.path}", misfit.reason)
        return NotAnEvent(f"not an event: {misfit.reason}")


def _as_text(data: bytes | bytearray | memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as refusal:
        reason = told(refusal)
    return reject(reason)


def _steps(path: Path) -> Sequence[str]:
    steps = path.split(".") if isinstance(path, str) else path
    if not steps:
        raise ValueError("a path has one key at least")
    return steps


class ServerFrame(Frame[server.ServerEvent]):
    """A frame that the service sent on ``/v1/realtime``."""

    __slots__ = ()
    codec = server_codec


class ClientFrame(Frame[client.ClientEvent]):
    """A frame that a client sent on ``/v1/realtime``."""

    __slots__ = ()
    codec = client_codec


class TranslationServerFrame(Frame[translation.ServerEvent]):
    """A frame that the service sent on ``/v1/realtime/translations``."""

    __slots__ = ()
    codec = translation_server_codec


class TranslationClientFrame(Frame[translation.ClientEvent]):
    """A frame that a client sent on ``/v1/realtime/translations``."""

    __slots__ = ()
    codec = translation_client_codec
