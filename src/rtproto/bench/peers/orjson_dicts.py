"""``orjson`` makes dicts, ``pybase64`` the audio: the fast way without types."""

from functools import partial

import orjson
import pybase64

from rtproto.bench.peers._dicts import peer_of_dicts
from rtproto.bench.peers._peer import cannot

__all__ = ["PEER"]


PEER = peer_of_dicts(
    label="orjson",
    libraries=("orjson", "pybase64"),
    imports="import orjson, pybase64",
    remark="dicts, as of json; base64 by pybase64, validated",
    loads=orjson.loads,
    dumps=orjson.dumps,
    encode_into=cannot("makes new bytes"),
    to_base64=pybase64.b64encode_as_string,
    from_base64=partial(pybase64.b64decode, validate=True),
)
"""Its work, under the same names as the others'."""
