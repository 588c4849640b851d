"""The fast lane: whole binary messages are taken out of what came in before the library's parser sees it.

Nearly all that a relay reads are whole, unfragmented, masked binary messages. Finding them takes a few
comparisons; the library's parser, a generator that is right about everything, takes ten times as long.
So what is plainly such a message is read here, and every other frame (control frames, fragments, what is
too large or broken) goes to the library with all of its bytes and none of the next frame's, so that the
library judges it, and the lane knows where the next frame begins. RFC 6455 §5.2.
"""

from __future__ import annotations

from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform for which the library has no compiled part
    from websockets.utils import apply_mask

__all__ = ["frame_size", "take"]

_BINARY: Final = 0x82
"""FIN, no reserved bit, opcode 2."""
_UNMASKED: Final = b"\0\0\0\0"


def take(data: bytes, start: int, most: int) -> tuple[list[bytes], int]:
    """Return the whole binary messages that begin at *start*, one after the other, and where they end.

    *data* has a frame's first byte at *start*. Stops before the first frame that is not a whole
    unfragmented masked binary message of at most *most* bytes.
    """
    messages = []
    end = len(data)
    while start + 8 <= end and data[start] == _BINARY:
        length = data[start + 1]
        if length == 0xFE:
            length = data[start + 2] << 8 | data[start + 3]
            body = start + 8
        elif 0x80 <= length < 0xFE:
            length -= 0x80
            body = start + 6
        else:
            break
        stop = body + length
        if stop > end or length > most:
            break
        mask = data[body - 4 : body]
        payload = data[body:stop]
        messages.append(payload if mask == _UNMASKED else apply_mask(payload, mask))
        start = stop
    return messages, start


def frame_size(data: bytes, start: int) -> int | None:
    """Return the size, header and all, of the frame that begins at *start*; None if too little is there.

    The size is the one that the header claims; whether such a frame is legal is the library's to say.
    """
    have = len(data) - start
    if have < 2:
        return None
    second = data[start + 1]
    length = second & 0x7F
    extended = {126: 2, 127: 8}.get(length, 0)
    if have < 2 + extended:
        return None
    if extended:
        length = int.from_bytes(data[start + 2 : start + 2 + extended], "big")
    return 2 + extended + (4 if second & 0x80 else 0) + length
