"""The errors of the SDK, below the root that all of sealcast shares.

::

    SealcastError
    ├── ConnectFailed            no connection could be made: .status when the server answered by HTTP
    ├── NotConnected             asked for something that needs a connection while there is none
    ├── Disconnected             the connection ended: .code says why, .returns whether to come back
    ├── ChannelClosed            the membership ended: .code says why
    ├── RequestRefused           the server refused a request: .code, .retry_after
    │   ├── JoinRefused              the request was a join
    │   ├── RevisionConflict         somebody has changed the item of metadata meanwhile
    │   └── LockHeld                 somebody else has the lock, and kept it for as long as was waited
    ├── LockLost                 a lock ran out, or was taken, while it was relied on
    ├── RequestTimeout           the server did not answer (also a TimeoutError)
    ├── LimitExceeded            larger or more than a limit allows (also a ValueError)
    └── SealError                end-to-end encryption said no
        ├── KeyMissing               no key for this member, epoch or frame
        ├── OpenFailed               not sealed by this member for this channel, or changed on the way
        ├── Replayed                 the counter did not grow: an old frame came again
        ├── NotFresh                 the sender's session never proved that it is not an old one
        ├── Unsigned                 a message or control frame without its signature
        ├── SignatureForged          the frame opens, and its sender has not signed it
        ├── ClearTextRefused         clear text where a key is set
        ├── HelloRefused             a member's hello does not prove what it claims
        │   ├── MemberNotTrusted         the application's own check says no
        │   ├── IdentityChanged          the user had another identity key before
        │   └── CertificateRefused       the member's certificate does not hold
        │       ├── CertificateMissing       there is none
        │       ├── CertificateMalformed     it is not one
        │       ├── CertificateForged        another key than the authority's signed it
        │       ├── CertificateOfChannel     it is for another channel or app
        │       ├── CertificateOfUser        it is for another user
        │       ├── CertificateOfIdentity    it is for another identity key
        │       ├── CertificateOfRole        it does not allow the member's role
        │       ├── CertificateNotYetValid   its time has not begun
        │       └── CertificateExpired       its time is over
        ├── WrapRefused              a key that a member wrapped to this one is not accepted
        │   ├── WrapMalformed            it is not a wrap
        │   ├── WrapForged               not signed by its sender for this receiver and place
        │   ├── WrapUnopened             it does not open with this session's key
        │   └── WrapConflict             another key than the one held for the same epoch
        ├── PassphraseRefused        a passphrase that is too short, or its salt (also a ValueError)
        ├── PaddingExceeded          larger than the constant size that was asked for (also a ValueError)
        ├── CipherFailed             the application's own cipher raised or broke its word
        ├── KemRefused               a key encapsulation that is not offered here (also a ValueError)
        ├── PrivateFileRefused       a file of secrets that others can read, or not what it should be
        ├── TrustStoreBusy           another process holds the trust store
        ├── SuiteRefused             a cipher suite that is not offered (also a ValueError)
        ├── EpochRefused             an epoch that does not come after the present one (also a ValueError)
        ├── CounterExhausted         2^32 frames under one key: set a new one
        ├── ContextPoisoned          the process forked: make a new context
        └── CopyRefused              keys and contexts are not copied or pickled (also a TypeError)

No error carries a token, a key, a payload or what the peer sent.
"""

from __future__ import annotations

from sealcast.protocol.codes import Code
from sealcast.protocol.errors import SealcastError

from .seal_errors import (
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
    CipherFailed,
    ClearTextRefused,
    ContextPoisoned,
    CopyRefused,
    CounterExhausted,
    EpochRefused,
    HelloRefused,
    IdentityChanged,
    KemRefused,
    KeyMissing,
    MemberNotTrusted,
    NotFresh,
    OpenFailed,
    PaddingExceeded,
    PassphraseRefused,
    PrivateFileRefused,
    Replayed,
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

__all__ = [
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
    "ChannelClosed",
    "CipherFailed",
    "ClearTextRefused",
    "ConnectFailed",
    "ContextPoisoned",
    "CopyRefused",
    "CounterExhausted",
    "Disconnected",
    "EpochRefused",
    "HelloRefused",
    "IdentityChanged",
    "JoinRefused",
    "KemRefused",
    "KeyMissing",
    "LimitExceeded",
    "LockHeld",
    "LockLost",
    "MemberNotTrusted",
    "NotConnected",
    "NotFresh",
    "OpenFailed",
    "PaddingExceeded",
    "PassphraseRefused",
    "PrivateFileRefused",
    "Replayed",
    "RequestRefused",
    "RequestTimeout",
    "RevisionConflict",
    "SealError",
    "SealcastError",
    "SignatureForged",
    "SuiteRefused",
    "TrustStoreBusy",
    "Unsigned",
    "WrapConflict",
    "WrapForged",
    "WrapMalformed",
    "WrapRefused",
    "WrapUnopened",
]


class ConnectFailed(SealcastError):
    """No connection could be made.

    ``status`` is the HTTP status when the server answered the upgrade with one, else None.
    """

    def __init__(self, detail: str | None = None, *, status: int | None = None) -> None:
        if detail is None:
            detail = (
                "the server could not be reached; check its address and that it runs"
                if status is None
                else f"the server answered HTTP {status}; check the URL and the App ID"
            )
        super().__init__(detail)
        self.status = status


class NotConnected(SealcastError):
    """The client has no connection at present."""

    def __init__(
        self, detail: str = "there is no connection; connect first, or wait until it is back"
    ) -> None:
        super().__init__(detail)


class Disconnected(SealcastError):
    """The connection ended.

    ``code`` is the row of the code table, None when the connection broke without a code of ours.
    ``returns`` says whether coming back makes sense.
    """

    def __init__(self, code: Code | None, returns: bool) -> None:
        cause = f"{code}: {code.message}" if code is not None else "it broke without a reason"
        advice = "coming back may work" if returns else "coming back unchanged will fail again"
        super().__init__(f"the connection ended ({cause}); {advice}")
        self.code = code
        self.returns = returns


class ChannelClosed(SealcastError):
    """The membership has ended, so nothing can be sent or received through it; join again.

    ``code`` is the row of the code table, None when it was closed on this side.
    """

    def __init__(self, code: Code | None = None) -> None:
        cause = f" ({code}: {code.message})" if code is not None else ""
        super().__init__(f"this membership has ended{cause}; join the channel again")
        self.code = code


class RequestRefused(SealcastError):
    """The server refused a request.

    ``code`` says why, ``retry_after`` how many seconds to wait when the server named a time.
    """

    def __init__(self, code: Code, retry_after: float | None = None) -> None:
        wait = f" (retry after {retry_after:g} s)" if retry_after is not None else ""
        super().__init__(f"{code}: {code.message}{wait}")
        self.code = code
        self.retry_after = retry_after

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code.temporary


class JoinRefused(RequestRefused):
    """The server refused a join."""


class RevisionConflict(RequestRefused):
    """An item of metadata has another revision than the one that was expected; nothing was changed."""


class LockHeld(RequestRefused):
    """Somebody else has the lock, and kept it for as long as was waited."""


class LockLost(SealcastError):
    """A lock ran out or was taken while it was held: what it protects may have been touched by others."""

    def __init__(self, detail: str = "the lock ran out, or somebody took it; others may be at work") -> None:
        super().__init__(detail)


class RequestTimeout(SealcastError, TimeoutError):
    """The server did not answer in time; whether it acted on the request is not known."""

    def __init__(self, detail: str = "the server did not answer in time; try again") -> None:
        super().__init__(detail)


class LimitExceeded(SealcastError, ValueError):
    """What was asked is larger, or more, than a limit allows; nothing was sent.

    ``limit`` is the limit, in the unit that the message names.
    """

    def __init__(self, what: str, limit: int, unit: str = "bytes") -> None:
        super().__init__(f"{what} exceeds the limit of {limit} {unit}; send less")
        self.limit = limit
