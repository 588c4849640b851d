"""End-to-end encryption: SFrame (RFC 9605) under the sealcast/1 profile.

An application makes a ``Key``; the SDK binds it to a channel and a user and gets a ``ChannelCrypto``,
which seals and opens frames. In reading order:

``suites``    the ciphers on offer and RFC 9605's key schedule
``context``   from a secret to one sender's keys: ctx, base key, bind16, key ids
``hello``     how a sender introduces itself
``sealer``    sending: counters, nonces, frames
``opener``    receiving: members, windows, frames
``clear``     what ``Key.none()`` does instead
``keys``      ``Key`` and the providers behind it
``channel``   ``ChannelCrypto``, which puts them together
``lifetime``  why none of it can be copied, pickled or used after a fork

The formats are in docs/encryption.md, with vectors in tests/vectors/profile.json.
"""

from .channel import ChannelCrypto
from .keys import Key, KeyProvider
from .opener import Opened
from .suites import AES_128_GCM, AES_256_GCM, Suite

__all__ = ["AES_128_GCM", "AES_256_GCM", "ChannelCrypto", "Key", "KeyProvider", "Opened", "Suite"]
