"""A module imports only from lower layers, so that the tree can be read from the bottom."""

import ast
from pathlib import Path

import rtproto

ROOT = Path(rtproto.__file__).parent
LAYERS = {
    "_address": 0,
    "_close_codes": 0,
    "_shown": 0,
    "_version": 1,
    "event_types": 1,
    "unknown": 1,
    "errors": 1,
    "event_ids": 1,
    "_sockets": 1,
    "_surrogates": 1,
    "_struct": 2,
    "_encode": 3,
    "_salvage": 3,
    "_members": 4,
    "_difference": 5,
    "_envelope": 5,
    "capture": 6,
    "types.open_enums": 3,
    "types.audio": 4,
    "types.prompt": 4,
    "types.tools": 4,
    "types.items": 4,
    "types.faults": 4,
    "types.transcription": 4,
    "types.translation": 4,
    "types.session": 5,
    "types.response": 6,
    "types.rest": 6,
    "types": 7,
    "items": 7,
    "events.client": 8,
    "events.server": 8,
    "events.translation": 9,
    "events": 10,
    "codec": 11,
    "_sender": 12,
    "_drift": 12,
    "frame": 12,
    "pcm": 13,
    "g711": 14,
    "builders": 14,
    "validate": 14,
    "": 15,
    "testing.faults": 16,
    "testing.sound": 16,
    "testing.conversation": 16,
    "testing.words": 16,
    "testing.refusals": 17,
    "testing.recording": 16,
    "testing.replay": 16,
    "testing.strategies": 16,
    "testing.script": 17,
    "testing.settings": 17,
    "testing.vad": 17,
    "testing.response": 18,
    "testing.session": 19,
    "testing.hearing": 20,
    "testing.conversing": 21,
    "testing.transcription": 21,
    "testing.translation": 21,
    "testing.realtime": 22,
    "testing.serving": 20,
    "testing.entrance": 23,
    "testing.server": 24,
    "testing": 25,
    "pytest_plugin": 26,
    "services": 16,
    "services.proxy.opening": 16,
    "services.proxy.counts": 16,
    "services.proxy.policy": 17,
    "services.proxy.limits": 16,
    "services.proxy.logs": 16,
    "services.proxy.upstream": 17,
    "services.proxy.admission": 17,
    "services.proxy.guarding": 18,
    "services.proxy.ledger": 18,
    "services.proxy.recorder": 18,
    "services.proxy.tools": 18,
    "services.proxy.filters": 19,
    "services.proxy.model": 19,
    "services.proxy.fields": 19,
    "services.proxy.validation": 19,
    "services.proxy._pump": 18,
    "services.proxy.websockets": 19,
    "services.proxy.starlette": 20,
    "services.proxy.metrics": 17,
    "services.proxy.relay": 18,
    "services.proxy.server": 19,
    "services.proxy": 21,
    "services.proxy.config": 22,
    "services.proxy.workers": 22,
    "services.fanout.families": 16,
    "services.fanout.notices": 16,
    "services.fanout.limits": 16,
    "services.fanout.counts": 16,
    "services.fanout.sound": 16,
    "services.fanout.history": 17,
    "services.fanout.listener": 17,
    "services.fanout.room": 18,
    "services.fanout.bus": 19,
    "services.fanout.nats._said": 16,
    "services.fanout.nats._line": 17,
    "services.fanout.nats._sessions": 19,
    "services.fanout.nats.bus": 20,
    "services.fanout.nats": 21,
    "services.fanout.source": 20,
    "services.fanout.attach": 20,
    "services.fanout.rights": 20,
    "services.fanout.server": 21,
    "services.fanout": 22,
    "services.metrics": 16,
    "services._door": 16,
    "services.fanout.metrics": 20,
    "cli._talking": 26,
    "cli.fanout": 27,
    "cli.proxy": 26,
    "cli.demo": 28,
    "cli._demo_listeners": 26,
    "cli._demo_session": 27,
    "cli._serving": 16,
    "cli.fake": 26,
    "cli.replay": 24,
    "cli._source": 16,
    "cli.check": 17,
    "cli.tally": 17,
    "cli.inspect": 18,
    "bench.results": 16,
    "bench.peers._peer": 16,
    "bench.peers": 17,
    "bench.peers._dicts": 17,
    "bench.peers.stdlib_json": 18,
    "bench.peers.orjson_dicts": 18,
    "bench.peers.msgspec_dicts": 18,
    "bench.peers.pydantic_models": 18,
    "bench.peers.openai_sdk": 18,
    "bench.peers.ours": 18,
    "bench.cases": 19,
    "bench.operations": 19,
    "bench.measure": 20,
    "bench.footprint": 21,
    "bench.run": 22,
    "bench": 23,
    "cli.bench": 24,
    "cli": 29,
    "__main__": 30,
}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def _imports(path: Path) -> set[str]:
    """The modules of ours that a module imports, by their names below the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rtproto":
            base = node.module.removeprefix("rtproto").lstrip(".")
            inside = {f"{base}.{alias.name}".lstrip(".") for alias in node.names}
            found |= (inside & LAYERS.keys()) or {base}
    return found


def test_every_module_has_a_layer() -> None:
    assert {_name(path) for path in ROOT.rglob("*.py")} == LAYERS.keys()


def test_a_module_imports_only_from_lower_layers() -> None:
    for path in ROOT.rglob("*.py"):
        name = _name(path)
        for imported in _imports(path):
            assert LAYERS[imported] < LAYERS[name], f"{name or 'rtproto'} imports {imported}"
