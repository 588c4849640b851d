"""End-to-end encryption: SFrame (RFC 9605) under the sealcast/1 profile.

An application makes a ``Key``; the SDK binds it to a channel and a user and gets a ``ChannelCrypto``,
which seals and opens frames. In reading order:

``suites``        the ciphers on offer and RFC 9605's key schedule
``context``       from a secret to one sender's keys: ctx, base key, bind16, key ids
``hello``         how a sender introduces itself
``sealer``        sending: counters, nonces, frames
``opener``        receiving: members, windows, frames
``layers``        between payload and cipher: ``signing``, ``padding``, ``custom``
``beacon``        proof of being here now; ``gate`` asks for it, ``beaconing`` gives it
``watch``         what beacons show; ``roster_hash`` is one of the things
``batch``         signatures on media
``hold``          where frames wait; ``message_order`` keeps messages in order meanwhile
``company``       who is there
``history``       messages that the channel has kept, apart from all that is live
``sending``       one half of a channel, made of the above
``receiving``     the other
``values``        what is set for all to see, sealed for one place: metadata, states
``history``       what was kept, of authors that may be gone
``conversation``  all of it, and the keys
``clear``         what ``Key.none()`` does instead
``channel``       ``ChannelCrypto``, in front of either
``provider``      what gives keys: ``shared_secrets`` (from ``passphrase`` too), or ``managed`` by the
                  members themselves: ``identity``, ``certificate``, ``trust``, ``wrap``, ``ratchet`` …
``keys``          ``Key``, which an application holds
``lifetime``      why none of it can be copied, pickled or used after a fork

The formats are in docs/encryption.md, with vectors in tests/vectors/profile.json.
"""

from .channel import ChannelCrypto
from .conversation import RefusedMember
from .custom import FrameCipher, FrameContext
from .direct import Direct
from .identity import Authority, Identity
from .keys import Key, KeyProvider
from .opener import Opened
from .padding import constant as constant_padding
from .receiving import Received
from .sending import ControlFrame
from .suites import AES_128_GCM, AES_256_GCM, Suite
from .trust import Claim
from .trust_store import TrustStore
from .values import ValueAuthor

__all__ = [
    "AES_128_GCM",
    "AES_256_GCM",
    "Authority",
    "ChannelCrypto",
    "Claim",
    "ControlFrame",
    "Direct",
    "FrameCipher",
    "FrameContext",
    "Identity",
    "Key",
    "KeyProvider",
    "Opened",
    "Received",
    "RefusedMember",
    "Suite",
    "TrustStore",
    "ValueAuthor",
    "constant_padding",
]
