"""A session has a model that is allowed, whoever asks for another, and wherever."""

from collections.abc import Collection, Container, Iterator
from typing import Any, Literal, cast

from msgspec import UNSET

from rtproto.frame import Frame
from rtproto.services.proxy.guarding import Guard
from rtproto.services.proxy.opening import Opening, Refused, Surface
from rtproto.services.proxy.policy import Session

__all__ = ["ModelLock"]

_MODEL = ("session", "model")
_TRANSCRIPTION_MODELS = (
    ("session", "audio", "input", "transcription", "model"),
    ("session", "input_audio_transcription", "model"),  # the beta's
)


class ModelLock(Guard):
    """Which models clients may ask for, in the query and in every ``session.update``::

        ModelLock({"gpt-realtime", "gpt-realtime-mini"}, default="gpt-realtime-mini")

    In the query it is ``model``, or Azure's ``deployment``. A client that names another is not let in (403).
    One that names none gets ``default``, and without a default is not let in either (400): the service's
    own default may be any. Two need no model: who joins a call (``call_id``), which has one, and a
    transcription session.

    In ``session.update`` (and the beta's ``transcription_session.update``) it is ``session.model``.
    ``transcription_models`` are those that may transcribe, in ``session.audio.input.transcription.model``;
    ``None``: any. A transcription session may have either kind at ``session.model`` and in its query. An
    update that asks for another model, or for null, is refused by an ``error`` event; with ``mode="remove"``
    it goes on without that model, so that the session keeps the one it has.

    Raises:
        ValueError: the default is not among the models.
        TypeError: a string stands for a collection.
    """

    client_types: Container[str] = frozenset({"session.update", "transcription_session.update"})
    """The events that name a model."""

    def __init__(
        self,
        models: Collection[str],
        default: str | None = None,
        *,
        transcription_models: Collection[str] | None = None,
        mode: Literal["refuse", "remove"] = "refuse",
    ) -> None:
        if isinstance(models, str) or isinstance(transcription_models, str):
            raise TypeError("models are a collection of names, not one name")
        if default is not None and default not in models:
            raise ValueError("the default is none of the models")
        self._models = frozenset(models)
        self._transcription_models = None if transcription_models is None else frozenset(transcription_models)
        self._default = default
        self._mode = mode

    def on_opening(self, opening: Opening) -> Opening:
        """The model in the query is an allowed one.

        Raises:
            Refused: it is not, or there is none.
        """
        opening = super().on_opening(opening)
        asked = [name for name in ("model", "deployment") if opening.get(name)]
        allowed = self._allowed(opening.surface)
        if any(opening.get(name) not in allowed for name in asked):
            raise Refused(403, "this model is not allowed")
        if asked or opening.call_id or opening.surface == "transcription":
            return opening
        if self._default is None:
            raise Refused(400, "a model must be named")
        return opening.with_query("model", self._default)

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any] | None:
        """Every model in it is an allowed one."""
        event = self.read(session, frame)
        if event is None:
            return None
        wrong = [path for path, models in self._places(session.surface) if not _is_among(models, event, path)]
        if wrong and self._mode == "refuse":
            message = "This model is not allowed here."
            session.refuse(frame, "model_not_allowed", message, param=".".join(wrong[0]))
            return None
        return frame.edit(dict.fromkeys(wrong, UNSET))

    def _allowed(self, surface: Surface) -> frozenset[str]:
        if surface == "transcription" and self._transcription_models:
            return self._models | self._transcription_models
        return self._models

    def _places(self, surface: Surface) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
        yield _MODEL, self._allowed(surface)
        if self._transcription_models is not None:
            for path in _TRANSCRIPTION_MODELS:
                yield path, self._transcription_models


def _is_among(models: frozenset[str], event: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Whether what stands there, if anything does, is one of these."""
    value: Any = event
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return True
        value = cast("dict[str, Any]", value)[step]
    return isinstance(value, str) and value in models
