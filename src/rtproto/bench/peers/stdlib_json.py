"""The standard library: ``json`` makes dicts, ``base64`` the audio."""

import base64
import json

from rtproto.bench.peers._dicts import peer_of_dicts
from rtproto.bench.peers._peer import cannot

__all__ = ["PEER"]


def _to_base64(samples: bytes) -> str:
    return base64.b64encode(samples).decode()


PEER = peer_of_dicts(
    label="json",
    libraries=(),
    imports="import json, base64",
    remark="dicts: no field is checked, no unknown event told from a known one; base64 is not validated",
    loads=json.loads,
    dumps=json.dumps,
    encode_into=cannot("makes a new str"),
    to_base64=_to_base64,
    from_base64=base64.b64decode,
)
"""Its work, under the same names as the others'."""
