"""The Python SDK: join channels of a sealcast relay, send and receive, end-to-end encrypted.

::

    from sealcast.client import Client, Key

    async with Client("ws://127.0.0.1:7700", app_id=APP_ID) as client:
        room = await client.join("standup", user="alice", token=token, key=Key.raw(secret))
        receipt = await room.send(b"hello")
        mic = room.stream("audio")
        mic.send(packet)
        async for event in room:
            print(event)

What is raised and what is yielded can bear the same name: ``Disconnected`` here is the event; the
error is ``DisconnectedError`` (``errors.Disconnected``). docs/sdk.md has all events and errors.

From the outside in: ``client``, ``channel`` and ``stream`` are what an application holds; ``upkeep``
brings channels back and ``connection`` the connection; ``membership`` is one channel over all its
connections, with ``reception`` for what comes in; ``link`` is one connection; ``transport`` opens it.
"""

from sealcast.protocol.parts import Place

from .address import InvalidUrl
from .backoff import Backoff
from .channel import Channel
from .client import Client
from .courier import Receipt
from .credentials import TokenSource
from .e2ee import (
    AES_128_GCM,
    AES_256_GCM,
    Authority,
    Claim,
    FrameCipher,
    FrameContext,
    Identity,
    Key,
    TrustStore,
    constant_padding,
)
from .errors import (
    CertificateExpired,
    CertificateForged,
    CertificateMalformed,
    CertificateMissing,
    CertificateNotYetValid,
    CertificateOfChannel,
    CertificateOfIdentity,
    CertificateOfRole,
    CertificateOfUser,
    CertificateRefused,
    ChannelClosed,
    CipherFailed,
    ClearTextRefused,
    ConnectFailed,
    ContextPoisoned,
    CopyRefused,
    CounterExhausted,
    EpochRefused,
    HelloRefused,
    IdentityChanged,
    JoinRefused,
    KemRefused,
    KeyMissing,
    LimitExceeded,
    LockHeld,
    LockLost,
    MemberNotTrusted,
    NotConnected,
    NotFresh,
    OpenFailed,
    PaddingExceeded,
    PassphraseRefused,
    PrivateFileRefused,
    Replayed,
    RequestRefused,
    RequestTimeout,
    RevisionConflict,
    SealcastError,
    SealError,
    SignatureForged,
    SuiteRefused,
    TrustStoreBusy,
    Unsigned,
    WrapConflict,
    WrapForged,
    WrapMalformed,
    WrapRefused,
    WrapUnopened,
)
from .errors import Disconnected as DisconnectedError
from .events import (
    Authentic,
    Disconnected,
    Draining,
    Dropped,
    Event,
    Frame,
    KeyChanged,
    KeySwitched,
    Left,
    LockChanged,
    MemberJoined,
    MemberLeft,
    MemberState,
    Message,
    MetadataChanged,
    Refused,
    Renewed,
    RenewFailed,
    Resumed,
    RosterSplit,
    SealFailure,
    Stalled,
    Suppressed,
    TokenExpiring,
    TrustEnded,
    Unauthentic,
)
from .grant import NotPermitted
from .history import History
from .lock import Lock
from .metadata import Held, Item, Metadata
from .options import Options
from .request import DeliveryUnknown
from .roster import Member
from .state import State, StateChange
from .stats import Stats
from .stream import Stream
from .transport import ConnectRefused

__all__ = [
    "AES_128_GCM",
    "AES_256_GCM",
    "Authentic",
    "Authority",
    "Backoff",
    "CertificateExpired",
    "CertificateForged",
    "CertificateMalformed",
    "CertificateMissing",
    "CertificateNotYetValid",
    "CertificateOfChannel",
    "CertificateOfIdentity",
    "CertificateOfRole",
    "CertificateOfUser",
    "CertificateRefused",
    "Channel",
    "ChannelClosed",
    "CipherFailed",
    "Claim",
    "ClearTextRefused",
    "Client",
    "ConnectFailed",
    "ConnectRefused",
    "ContextPoisoned",
    "CopyRefused",
    "CounterExhausted",
    "DeliveryUnknown",
    "Disconnected",
    "DisconnectedError",
    "Draining",
    "Dropped",
    "EpochRefused",
    "Event",
    "Frame",
    "FrameCipher",
    "FrameContext",
    "Held",
    "HelloRefused",
    "History",
    "Identity",
    "IdentityChanged",
    "InvalidUrl",
    "Item",
    "JoinRefused",
    "KemRefused",
    "Key",
    "KeyChanged",
    "KeyMissing",
    "KeySwitched",
    "Left",
    "LimitExceeded",
    "Lock",
    "LockChanged",
    "LockHeld",
    "LockLost",
    "Member",
    "MemberJoined",
    "MemberLeft",
    "MemberNotTrusted",
    "MemberState",
    "Message",
    "Metadata",
    "MetadataChanged",
    "NotConnected",
    "NotFresh",
    "NotPermitted",
    "OpenFailed",
    "Options",
    "PaddingExceeded",
    "PassphraseRefused",
    "Place",
    "PrivateFileRefused",
    "Receipt",
    "Refused",
    "RenewFailed",
    "Renewed",
    "Replayed",
    "RequestRefused",
    "RequestTimeout",
    "Resumed",
    "RevisionConflict",
    "RosterSplit",
    "SealError",
    "SealFailure",
    "SealcastError",
    "SignatureForged",
    "Stalled",
    "State",
    "StateChange",
    "Stats",
    "Stream",
    "SuiteRefused",
    "Suppressed",
    "TokenExpiring",
    "TokenSource",
    "TrustEnded",
    "TrustStore",
    "TrustStoreBusy",
    "Unauthentic",
    "Unsigned",
    "WrapConflict",
    "WrapForged",
    "WrapMalformed",
    "WrapRefused",
    "WrapUnopened",
    "constant_padding",
]
