"""Who comes in, and to what: a key, an endpoint and a model, or the answer that the service would give."""

from collections.abc import Callable, Collection, Mapping
from urllib.parse import parse_qs

import msgspec

from rtproto._sockets import Connection, Refusal, Request, accept, offered, page, refuse
from rtproto.codec import encode
from rtproto.event_ids import new_event_id
from rtproto.events import server
from rtproto.testing.realtime import RealtimeSession
from rtproto.testing.refusals import Refused
from rtproto.testing.session import FakeSession
from rtproto.testing.transcription import TranscriptionSession
from rtproto.testing.translation import TranslationSession

__all__ = ["MODEL", "Entrance"]

MODEL = "gpt-realtime"
"""The model of who joins a call, and of the server's own URLs."""

_KEY = "openai-insecure-api-key."
_BETA = "openai-beta.realtime-v1"


class Entrance:
    """Answers what clients ask for, before there is a session."""

    def __init__(
        self, keys: Collection[str] | None, serve: Callable[[type[FakeSession], str], Connection]
    ) -> None:
        self._keys = keys
        self._serve = serve

    def __call__(self, request: Request) -> Connection | Refusal:
        """The answer to a request."""
        path, _, asked = request.path.decode("latin-1").partition("?")
        if path == "/healthz":
            return page(b"ok\n")
        if not self._may_enter(request):
            return refuse(401, _UNAUTHORIZED)
        query = {name: values[-1] for name, values in parse_qs(asked).items()}
        kind = _kind(path, query)
        if kind is None:
            return refuse(404, b"no such endpoint\n")
        return accept(self._connection(kind, query, is_beta=_is_beta(request)), request)

    def _may_enter(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        keys = [key.strip()] if scheme.lower() == "bearer" else []
        keys += [name.removeprefix(_KEY) for name in offered(request) if name.startswith(_KEY)]
        return any(key and (self._keys is None or key in self._keys) for key in keys)

    def _connection(self, kind: type[FakeSession], query: Mapping[str, str], *, is_beta: bool) -> Connection:
        if is_beta:
            return _Dismissed(_NO_BETA)
        model = query.get("model") or (MODEL if "call_id" in query else "")
        if kind.needs_model and not model:
            return _Dismissed(_NO_MODEL)
        return self._serve(kind, model)


def _kind(path: str, query: Mapping[str, str]) -> type[FakeSession] | None:
    """What is served at a path; only its end counts, since gateways put something before it."""
    path = path.rstrip("/")
    if path.endswith("/realtime/translations"):
        return TranslationSession
    if not path.endswith("/realtime"):
        return None
    return TranscriptionSession if query.get("intent") == "transcription" else RealtimeSession


def _is_beta(request: Request) -> bool:
    return "realtime=v1" in request.headers.get("OpenAI-Beta", "") or _BETA in offered(request)


class _Dismissed(Connection):
    """A connection that is told what is wrong with it, and closed."""

    def __init__(self, refused: Refused) -> None:
        super().__init__()
        self._refused = refused

    def opened(self) -> None:
        error = self._refused.error(None)
        self.send(encode(server.Error(event_id=new_event_id(), error=error)))
        self.close(4000, f"{error.type}.{error.code}")


_NO_MODEL = Refused("missing_model", "You must provide a model parameter, for example ?model=gpt-realtime.")
_NO_BETA = Refused(
    "beta_api_shape_disabled", "The Realtime Beta API is no longer supported. Please use the GA API."
)
_UNAUTHORIZED = msgspec.json.encode(
    {
        "error": {
            "message": "Incorrect API key provided, or none.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
)
