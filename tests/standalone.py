"""The core needs two dependencies and no event loop: ``nox -s standalone`` runs this with nothing else."""

import sys
import time

import msgspec

before, began = set(sys.modules), time.perf_counter()
import rtproto  # noqa: E402 - timed

milliseconds, loaded = (time.perf_counter() - began) * 1000, sys.modules.keys() - before

import importlib.metadata  # noqa: E402 - it loads sockets itself
import importlib.resources  # noqa: E402
import re  # noqa: E402

UNWANTED = {"asyncio", "click", "rich", "socket", "ssl", "dataclasses", "inspect", "logging"}


def main() -> None:
    """Fail if the core loads or needs more than it says, or does not work."""
    requires = importlib.metadata.requires("rtproto") or []
    core = {re.split(r"[<>=~! ;]", name)[0] for name in requires if "extra ==" not in name}
    assert core == {"msgspec", "pybase64"}, core
    installed = {dist.name for dist in importlib.metadata.distributions()}
    assert installed <= core | {"rtproto", "pip", "setuptools", "wheel"}, installed

    assert not UNWANTED & loaded, UNWANTED & loaded
    assert importlib.resources.files("rtproto").joinpath("py.typed").is_file()

    raw = b'{"type":"error","event_id":"event_1","error":{"type":"server_error","message":"","code":null}}'
    event = rtproto.decode_server(raw, strict=True)
    assert isinstance(event, rtproto.server.Error)
    assert event.error.code is None
    assert event.error.param is rtproto.UNSET
    assert msgspec.json.decode(rtproto.encode(event)) == msgspec.json.decode(raw)
    assert rtproto.ServerFrame(raw).replace(event_id="event_2").get("error.code") is None
    assert rtproto.pcm.payload(rtproto.pcm.append_frame(b"\0\1")) == b"\0\1"
    print(f"rtproto {importlib.metadata.version('rtproto')} stands alone; it loads in {milliseconds:.0f} ms")


main()
