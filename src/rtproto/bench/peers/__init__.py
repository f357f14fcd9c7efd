"""The peers, one adapter each: what they are given and must give back is the same; only the way differs."""

from importlib import import_module

from rtproto.bench.peers._peer import ADDRESS, EDITED, CannotDo, Peer, Text, Work, cannot

__all__ = ["ADDRESS", "EDITED", "MODULES", "CannotDo", "Peer", "Text", "Work", "cannot", "load"]

MODULES = ("ours", "stdlib_json", "orjson_dicts", "msgspec_dicts", "pydantic_models", "openai_sdk")
"""The adapters, ours first: the others are measured against it."""


def load() -> tuple[list[Peer], list[str]]:
    """The peers whose libraries are installed, and the names of the libraries that are not."""
    peers: list[Peer] = []
    missing: list[str] = []
    for module in MODULES:
        try:
            peers.append(import_module(f"rtproto.bench.peers.{module}").PEER)
        except ModuleNotFoundError as refusal:
            missing.append(str(refusal.name))
    return peers, missing
