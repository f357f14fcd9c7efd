"""An Unknown is a value: it compares, hashes, copies and pickles, and shows no byte of its payload."""

import copy
import pickle

import rtproto
from rtproto import Unknown

RAW = b'{"type":"response.video.delta","delta":"private"}'


def test_an_unknown_is_a_value() -> None:
    unknown = Unknown("response.video.delta", RAW)
    assert unknown == rtproto.decode_server(RAW) == Unknown("response.video.delta", RAW, None)
    assert hash(unknown) == hash(rtproto.decode_server(RAW))
    assert unknown != Unknown("response.video.delta", RAW + b" ")
    assert unknown != Unknown("response.video.delta", RAW, "$: wrong")
    assert unknown != RAW
    assert copy.deepcopy(unknown) == pickle.loads(pickle.dumps(unknown)) == unknown


def test_its_repr_shows_no_payload() -> None:
    shown = repr(rtproto.decode_server(RAW))
    assert shown == "Unknown(type='response.video.delta', raw=<49 bytes>, error=None)"
