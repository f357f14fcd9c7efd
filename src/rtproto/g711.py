"""G.711, as telephony speaks it, is PCM in 8 bits: from it and to it, sample by sample, at the same rate.

It needs the extra ``g711`` on Python 3.13 and later; before, the standard library has what it takes.
Realtime's own PCM is 24 kHz and G.711 is 8 kHz: resampling is not done here.
"""

import warnings
from collections.abc import Callable
from typing import Final

from rtproto.pcm import Buffer, Format
from rtproto.types.audio import AudioPcma, AudioPcmu

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # audioop-lts follows where it is gone.
    import audioop

__all__ = ["audioop", "decode", "encode"]

_Convert = Callable[[Buffer, int], bytes]
_LAWS: Final[dict[str, tuple[_Convert, _Convert]]] = {
    **dict.fromkeys((AudioPcmu.type, "g711_ulaw"), (audioop.ulaw2lin, audioop.lin2ulaw)),
    **dict.fromkeys((AudioPcma.type, "g711_alaw"), (audioop.alaw2lin, audioop.lin2alaw)),
}


def decode(samples: Buffer, format: Format) -> bytes:
    """16-bit PCM, in the machine's byte order, of ``audio/pcmu`` or ``audio/pcma``; twice the size.

    Raises:
        ValueError: the format is neither.
    """
    return _law(format)[0](samples, 2)


def encode(samples: Buffer, format: Format) -> bytes:
    """``audio/pcmu`` or ``audio/pcma`` of 16-bit PCM in the machine's byte order; half the size.

    Raises:
        ValueError: the format is neither, or there is half a sample.
    """
    try:
        return _law(format)[1](samples, 2)
    except audioop.error:
        raise ValueError("16-bit PCM has two bytes for every sample") from None


def _law(format: Format) -> tuple[_Convert, _Convert]:
    name = format if isinstance(format, str) else format.type
    if name not in _LAWS:
        raise ValueError("G.711 is audio/pcmu or audio/pcma")
    return _LAWS[name]
