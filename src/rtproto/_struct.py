"""Every Struct is frozen, tells absent from null, knows its wire name, and shows no audio and no secret."""

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypeVar, dataclass_transform, get_args

import msgspec
from msgspec import UNSET, UnsetType

from rtproto.unknown import Unknown

__all__ = ["Base64", "Event", "Json", "Maybe", "Number", "Open", "Parts", "Secret", "Struct", "Tagged"]

T = TypeVar("T")

Maybe: TypeAlias = T | UnsetType | None
"""An optional field, in three states: a value, ``None`` (null on the wire), ``UNSET`` (not on the wire).

Every optional field takes null, even where the schema does not: real servers send it."""

Number: TypeAlias = int | float
"""The schema's ``number``: ``60`` stays ``60`` and ``60.0`` stays ``60.0``."""

Json: TypeAlias = Any
"""Any JSON value that the protocol does not look into, as Python objects."""

_ELIDED = msgspec.Meta(extra={"rtproto": "elided"})

Base64: TypeAlias = Annotated[str, _ELIDED]
"""Base64 text (standard alphabet) or a data URI; the repr shows its length."""

Secret: TypeAlias = Annotated[str, _ELIDED]
"""A credential; the repr shows its length."""


Parts: TypeAlias = Annotated[list[Json], _ELIDED]
"""A list that may hold images or audio; the repr shows its length."""


class _Elided:
    """Stands in a repr for a value that must not be shown."""

    def __init__(self, value: Any) -> None:
        self.text = f"<{len(value)} {'items' if isinstance(value, list) else 'characters'}>"

    def __repr__(self) -> str:
        return self.text


def _elide(value: Any, kinds: tuple[type, ...]) -> Any:
    if isinstance(value, kinds):
        return _Elided(value)
    if isinstance(value, dict):
        return {key: _elide(item, kinds) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def _elided_kinds(annotation: Any) -> tuple[type, ...]:
    """The types of value that must not be shown where this annotation stands."""
    if _ELIDED in getattr(annotation, "__metadata__", ()):
        return (str, bytes, bytearray, memoryview) if annotation.__origin__ is str else (list,)
    return tuple(kind for argument in get_args(annotation) for kind in _elided_kinds(argument))


@cache
def _elided_fields(cls: type[msgspec.Struct]) -> dict[str, tuple[type, ...]]:
    return {field.name: _elided_kinds(field.type) for field in msgspec.structs.fields(cls)}


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Struct(msgspec.Struct, frozen=True):
    """The base of every noun: frozen; write ``kw_only=True`` in each header, msgspec does not inherit it."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        hidden = _elided_fields(type(self))
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, _elide(value, hidden[name])) for name, value in fields if value is not UNSET]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"


class _WireName:
    """``.type`` of one class: read from its tag once, then a plain class attribute, as fast as any."""

    def __get__(self, instance: object, owner: type[msgspec.Struct]) -> str:
        name = str(owner.__struct_config__.tag)
        setattr(owner, "type", name)  # noqa: B010 - a type checker sees no such attribute on a Struct
        return name


class Tagged(Struct, tag_field="type"):
    """The base of every Struct that a union tells from its siblings by ``type``."""

    type: ClassVar[str]
    """The wire name, on the class and on every instance."""

    def __init_subclass__(cls) -> None:
        # The tag is not there yet: msgspec sets it after this hook. So it is read on first use.
        cls.type = _WireName()  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


class Event(Tagged):
    """The base of every event."""


if TYPE_CHECKING:
    Open = Unknown
else:

    class Open(Tagged, tag="\x00open"):
        """In a union: a kind this version does not know is welcome here, as an :class:`Unknown`.

        msgspec cannot hold ``Unknown`` beside Structs, so at run time this marker stands for it: the
        slow path knows an open union by it, and a union of one Struct is made to ask for its tag.
        """

        def __post_init__(self) -> None:
            raise ValueError  # No frame may ever make one.
