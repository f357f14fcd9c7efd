"""Run by ``nox -s standalone`` where only the package is installed: the core needs two dependencies, no event loop."""

import importlib.metadata
import importlib.resources
import sys
import time

import msgspec

began = time.perf_counter()
import rtproto  # noqa: E402 - timed

milliseconds = (time.perf_counter() - began) * 1000

UNWANTED = {"asyncio", "click", "rich", "socket", "ssl", "dataclasses", "inspect", "logging"}


def main() -> None:
    """Fail if the core loads or needs more than it says, or does not work."""
    requires = importlib.metadata.requires("rtproto") or []
    core = {name.split(">")[0] for name in requires if "extra ==" not in name}
    assert core == {"msgspec", "pybase64"}, core
    installed = {dist.name for dist in importlib.metadata.distributions()}
    assert installed <= core | {"rtproto", "pip", "setuptools", "wheel"}, installed

    loaded = UNWANTED & sys.modules.keys()
    assert not loaded, loaded
    assert importlib.resources.files("rtproto").joinpath("py.typed").is_file()

    raw = b'{"type":"error","event_id":"event_1","error":{"type":"server_error","message":"","code":null}}'
    event = rtproto.decode_server(raw, strict=True)
    assert isinstance(event, rtproto.server.Error)
    assert event.error.code is None
    assert event.error.param is rtproto.UNSET
    assert msgspec.json.decode(rtproto.encode(event)) == msgspec.json.decode(raw)
    print(f"rtproto {importlib.metadata.version('rtproto')} stands alone; it loads in {milliseconds:.0f} ms")


main()
