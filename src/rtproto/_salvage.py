"""An unknown kind costs its own place, never the event around it.

msgspec decodes an event in one pass and refuses all of it for one ``type`` it does not know. Only
then is it read once more here, by readers made once per type: each Struct through a shadow whose
parts that may hold unknown kinds are left as raw bytes, which are then read in turn.
"""

from collections.abc import Callable
from functools import cache
from types import GenericAlias, UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Raw, UnsetType

from rtproto._struct import Open
from rtproto.unknown import Unknown

__all__ = ["REFUSALS", "Misfit", "salvage"]

REFUSALS = (msgspec.DecodeError, ValueError, RecursionError)
"""All that a msgspec decoder raises on bad data: UnicodeError and huge integers are ValueErrors."""

Reader: TypeAlias = Callable[[bytes | Raw], Any]
"""Reads the JSON text of one value; raises :class:`Misfit`."""


class Misfit(Exception):
    """A value of the wrong shape: where it is, below the value being read, and what is wrong."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def below(self, step: str) -> "Misfit":
        """The same fault, seen from one level up."""
        return Misfit(step + self.path, self.reason)

    def bare(self) -> "Misfit":
        """The same without a traceback, through which a function that keeps it would keep itself."""
        return self.below("")

    @classmethod
    def of(cls, refusal: Exception) -> "Misfit":
        """What a msgspec refusal says, without the values that some of its messages quote."""
        if not isinstance(refusal, msgspec.DecodeError):
            return cls("", _PLAIN.get(type(refusal), type(refusal).__name__))
        message, at, path = str(refusal).rpartition(" - at `$")
        message, path = (message, path.rstrip("`")) if at else (path, "")
        if message.startswith(_MISSING):
            return cls(f"{path}.{message[len(_MISSING) : -1]}", "missing")
        plainer = (plain for start, plain in _PLAINER.items() if message.startswith(start))
        return cls(path, next(plainer, message))


_PLAIN: dict[type, str] = {RecursionError: "nested too deeply", UnicodeDecodeError: "invalid UTF-8"}
_MISSING = "Object missing required field `"
_PLAINER = {
    "Invalid value": "invalid value",
    "Object contains unknown field": "unknown field",
    "Expected `float` that's a multiple of 1.0": "Expected `int`, got a fraction",
}
"""What to say in place of a refusal that begins so: two of them quote what was sent."""

_Whole: TypeAlias = int | Annotated[float, msgspec.Meta(multiple_of=1)]
"""JSON's integer: some servers send ``1500.0``. It stays a float, to be sent on as it came."""


class _Kind(msgspec.Struct):
    type: Any = ""


S = TypeVar("S", bound=msgspec.Struct)

_MOST_VALUES = 20_000
"""A frame with more commas is not read again: it would take long, and to no honest end."""


def salvage(cls: type[S], raw: bytes) -> S:
    """Read a Struct that msgspec refused, an unknown kind in it as ``Unknown``; raises :class:`Misfit`."""
    try:
        if raw.count(b",") <= _MOST_VALUES:
            return _reader(cls)(raw)  # type: ignore[no-any-return]
        return _plain(cls)(raw)  # type: ignore[no-any-return]
    except RecursionError:
        raise Misfit("", "nested too deeply") from None


def _plain(annotation: Any) -> Reader:
    """Read what holds no open union, in one go."""
    decode = msgspec.json.Decoder(annotation).decode

    def read(raw: bytes | Raw) -> Any:
        try:
            return decode(raw)
        except REFUSALS as refusal:
            raise Misfit.of(refusal) from None

    return read


def _in_one_go_or(read: Reader, annotation: Any) -> Reader:
    """Most of an event is sound: try that first, everywhere."""
    decode = msgspec.json.Decoder(annotation).decode

    def read_either_way(raw: bytes | Raw) -> Any:
        try:
            return decode(raw)
        except REFUSALS:
            return read(raw)

    return read_either_way


def _struct(cls: type[msgspec.Struct]) -> Reader:
    """Read a Struct by way of its shadow."""
    config = cls.__struct_config__
    inner = {
        field.name: _reader(field.type) for field in msgspec.structs.fields(cls) if _needs_reader(field.type)
    }
    shadow = msgspec.defstruct(
        f"{cls.__name__}Shadow",
        [_shadow_field(field, field.name in inner) for field in msgspec.structs.fields(cls)],
        kw_only=True,
        tag=config.tag,
        tag_field=config.tag_field,
        forbid_unknown_fields=config.forbid_unknown_fields,
    )
    decode = _plain(shadow)

    def read(raw: bytes | Raw) -> Any:
        values = msgspec.structs.asdict(decode(raw))
        for name, read_inner in inner.items():
            if values[name] is not UNSET:
                try:
                    values[name] = read_inner(values[name])
                except Misfit as misfit:
                    raise misfit.below(f".{name}") from None
        return cls(**values)

    return read


def _shadow_field(field: msgspec.structs.FieldInfo, is_open: bool) -> tuple[str, Any, Any]:
    return field.name, Raw if is_open else _lenient(field.type), field.default


def _list(item: Any) -> Reader:
    decode, read_item = _plain(list[Raw]), _reader(item)

    def read(raw: bytes | Raw) -> Any:
        values = decode(raw)
        for index, value in enumerate(values):
            try:
                values[index] = read_item(value)
            except Misfit as misfit:
                raise misfit.below(f"[{index}]") from None
        return values

    return read


def _dict(value: Any) -> Reader:
    decode, read_value = _plain(dict[str, Raw]), _reader(value)

    def read(raw: bytes | Raw) -> Any:
        try:
            return {key: read_value(item) for key, item in decode(raw).items()}
        except Misfit as misfit:
            raise misfit.below("[...]") from None

    return read


def _union(members: tuple[Any, ...]) -> Reader:
    """Read by the value's JSON kind: an object by its ``type``, a list by its items, the rest in one go."""
    structs = [member for member in members if _is_struct(member)]
    by_start = {_START[origin]: _reader(m) for m in members if (origin := get_origin(m)) in _START}
    if structs:
        by_start[ord("{")] = _object([cls for cls in structs if cls is not Open])
    read_other = _plain(_lenient(Union[members]))

    def read(raw: bytes | Raw) -> Any:
        return by_start.get(memoryview(raw)[0], read_other)(raw)

    return read


_START = {list: ord("["), dict: ord("{")}


def _object(structs: list[Any]) -> Reader:
    """Read an object by its ``type``, or by its shape where its kind has no tag."""
    kinds = {cls.__struct_config__.tag: _reader(cls) for cls in structs}

    def read(raw: bytes | Raw) -> Any:
        kind = _kind_of(raw)
        known = kinds.get(kind)
        return known(raw) if known else Unknown(kind, bytes(raw))

    def read_shape(raw: bytes | Raw) -> Any:
        try:
            return kinds[None](raw)
        except Misfit:
            if _is_kind_by_shape(structs[0]):
                return Unknown(_kind_of(raw), bytes(raw))
            raise

    return read_shape if None in kinds else read


def _kind_of(raw: bytes | Raw) -> str:
    kind = _read_kind(raw).type
    return kind if isinstance(kind, str) else ""


_read_kind = _plain(_Kind)


def _is_kind_by_shape(annotation: Any) -> bool:
    """Whether an object must have just these fields to be of this kind; with others it is of another."""
    return bool(annotation.__struct_config__.forbid_unknown_fields)


@cache
def _reader(annotation: Any) -> Reader:
    """The reader of a type, made on first use and kept."""
    if _is_struct(annotation):
        return _struct(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if not _needs_reader(annotation):
        return _plain(_lenient(annotation))
    if origin in _UNIONS:
        return _in_one_go_or(_union(tuple(member for member in args if member is not UnsetType)), annotation)
    return _list(args[0]) if origin is list else _dict(args[1])


_UNIONS = (Union, UnionType)


@cache
def _needs_reader(annotation: Any) -> bool:
    """Whether a value of this type may hold a Struct that needs a reader, at any depth."""
    if _is_struct(annotation):
        types = [field.type for field in msgspec.structs.fields(annotation)]
        is_kind = annotation is Open or _is_kind_by_shape(annotation)
        return is_kind or any(_needs_reader(t) or _lenient(t) != t for t in types)
    return any(map(_needs_reader, get_args(annotation)))


def _lenient(annotation: Any) -> Any:
    """The same type with ``int`` taken as JSON's integer, outside of Structs."""
    if annotation is int:
        return _Whole
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in _UNIONS and float not in args:  # int | float takes 1500.0 as it is.
        return Union[tuple(map(_lenient, args))]
    return GenericAlias(list, _lenient(args[0])) if origin is list else annotation


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)
