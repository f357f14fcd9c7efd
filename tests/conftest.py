"""Every test sees the same frames: the repository's own, and any capture named by ``--corpus``."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import rtproto

HERE = Path(__file__).parent
CODECS: dict[str, rtproto.Codec[Any]] = {
    "client": rtproto.client_codec,
    "server": rtproto.server_codec,
    "translation_client": rtproto.translation_client_codec,
    "translation_server": rtproto.translation_server_codec,
}
FRAMES: dict[str, type[rtproto.Frame[Any]]] = {
    "client": rtproto.ClientFrame,
    "server": rtproto.ServerFrame,
    "translation_client": rtproto.TranslationClientFrame,
    "translation_server": rtproto.TranslationServerFrame,
}


class OwnFrame(NamedTuple):
    """A frame written for these tests, in the shape of a real one."""

    codec: rtproto.Codec[Any]
    raw: str

    @property
    def type(self) -> str:
        return str(json.loads(self.raw)["type"])


def own_frames() -> Iterator[Any]:
    """Every frame of ``tests/frames``, each a test parameter with a readable name."""
    for name, codec in CODECS.items():
        for number, raw in enumerate((HERE / "frames" / f"{name}.jsonl").read_text("utf-8").splitlines(), 1):
            frame = OwnFrame(codec, raw)
            yield pytest.param(frame, id=f"{name}:{number}:{frame.type}")


def first_frame(codec: str, event_type: str) -> bytes:
    """The first of our own frames of a type."""
    lines = (HERE / "frames" / f"{codec}.jsonl").read_text("utf-8").splitlines()
    return next(line for line in lines if json.loads(line)["type"] == event_type).encode()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--corpus",
        metavar="PATH",
        default=os.environ.get("RTPROTO_CORPUS"),
        help="a capture, or a folder of them, to run the conformance tests over (default: $RTPROTO_CORPUS)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "own_frame" in metafunc.fixturenames:
        metafunc.parametrize("own_frame", list(own_frames()))
    if "capture" in metafunc.fixturenames:
        metafunc.parametrize(
            "capture", list(_captures(metafunc.config.getoption("--corpus"))), ids=lambda p: p.name
        )


def _captures(corpus: str | None) -> Iterator[Path]:
    """The example session, which is always there, and what ``--corpus`` names."""
    yield HERE.parent / "examples" / "session.jsonl"
    if corpus:
        root = Path(corpus)
        found = [root] if root.is_file() else sorted({*root.rglob("*.jsonl"), *root.rglob("*.jsonl.gz")})
        if not found:
            pytest.exit(f"--corpus {corpus}: no .jsonl there", returncode=4)
        yield from found


def kinds(value: Any) -> Any:
    """A JSON value with the kind of every number and constant spelled out, so that 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [kinds(item) for item in value]
    return type(value).__name__, value


def same_json(ours: bytes | str, theirs: bytes | str) -> bool:
    """Whether two texts are the same JSON, number kinds and nulls included."""
    return bool(kinds(json.loads(ours)) == kinds(json.loads(theirs)))
