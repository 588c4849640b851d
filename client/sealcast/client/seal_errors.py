"""What end-to-end encryption refuses: the ``SealError`` family of ``errors``, where the tree is drawn."""

from __future__ import annotations

from typing import ClassVar

from sealcast.protocol.errors import SealcastError

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
    "CipherFailed",
    "ClearTextRefused",
    "ContextPoisoned",
    "CopyRefused",
    "CounterExhausted",
    "EpochRefused",
    "HelloRefused",
    "IdentityChanged",
    "KemRefused",
    "KeyMissing",
    "MemberNotTrusted",
    "NotFresh",
    "OpenFailed",
    "PaddingExceeded",
    "PassphraseRefused",
    "PrivateFileRefused",
    "Replayed",
    "SealError",
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


class SealError(SealcastError):
    """End-to-end encryption said no. The class is the cause."""

    summary: ClassVar[str] = "end-to-end encryption refused this"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.summary)


class KeyMissing(SealError):
    """No key opens this: the member sent no hello, or uses a key or epoch that was not set here."""

    summary = "no key for this member and epoch; check that all members were given the same key"


class OpenFailed(SealError):
    """The frame is malformed, or was not sealed by this member for this place, or was changed."""

    summary = "the frame does not open: another key, another sender or place, or changed on the way"


class Replayed(SealError):
    """The frame's counter is not above the last one opened under its key."""

    summary = "the frame's counter did not grow; an old frame was delivered again and is dropped"


class NotFresh(SealError):
    """Frames of a session that no beacon has proved to be of today were not delivered."""

    summary = "the sender's session has not proved that it is not an old one; its frames are dropped"


class Unsigned(SealError):
    """A message or a control frame that does not carry the signature that every one must."""

    summary = "messages and control frames must be signed, and this one is not"


class SignatureForged(SealError):
    """The key is the sender's, the signature is not: another member made it, with the relay's help."""

    summary = "the frame opens but was not signed by its sender; another member may have made it"


class ClearTextRefused(SealError):
    """Clear text, although a key is set."""

    summary = "clear text is refused where a key is set; use Key.none() on all members or on none"


class HelloRefused(SealError):
    """A hello that is malformed, wrongly signed, or speaks for another user, suite or session."""

    summary = "the member's hello is refused, so its frames will not be opened"


class SuiteRefused(SealError, ValueError):
    """A cipher suite that this SDK does not offer."""

    summary = "this cipher suite is not offered; use AES_128_GCM or AES_256_GCM"


class EpochRefused(SealError, ValueError):
    """A key for an epoch that does not come after the present one."""

    summary = "epochs only grow; give the new key a higher epoch than the present one"


class CounterExhausted(SealError):
    """A stream has sealed 2^32 frames under one key."""

    summary = "this stream has used up its counters under this key; set the key of the next epoch"


class ContextPoisoned(SealError):
    """The process forked, so two processes hold this context; only the one that made it may seal."""

    summary = "this context was made before a fork and is dead here; join again from this process"


class CopyRefused(SealError, TypeError):
    """An attempt to pickle or copy a key or a context."""

    summary = "keys and contexts are never copied or pickled; make a new one where it is needed"


class MemberNotTrusted(HelloRefused):
    """The application's ``verify_member`` did not vouch for this member, or failed."""

    summary = "the application's check does not vouch for this member, so it gets no keys"


class IdentityChanged(HelloRefused):
    """First use: the user is known under another identity key than the hello's."""

    summary = (
        "this user had another identity key before; compare it with the user by another way, "
        "then accept it in the trust store"
    )


class CertificateRefused(HelloRefused):
    """A certificate that does not make its bearer a member."""

    summary = "the member's certificate does not hold, so it gets no keys"


class CertificateMissing(CertificateRefused):
    """The hello comes without a certificate, and the channel's authority asks for one."""

    summary = "the member brings no certificate; have the authority certify its identity key"


class CertificateMalformed(CertificateRefused):
    """Bytes that are not a certificate: cut short, too long, of another version, or with bad fields."""

    summary = "the member's certificate is malformed"


class CertificateForged(CertificateRefused):
    """The signature is not the authority's."""

    summary = "the certificate was not signed by this channel's authority, or was changed"


class CertificateOfChannel(CertificateRefused):
    """A certificate for another channel, or for the same channel of another app."""

    summary = "the certificate is for another channel or app"


class CertificateOfUser(CertificateRefused):
    """A certificate for another user."""

    summary = "the certificate is for another user than the hello names"


class CertificateOfIdentity(CertificateRefused):
    """A certificate for another identity key: perhaps the user's old one."""

    summary = "the certificate is for another identity key than the hello's"


class CertificateOfRole(CertificateRefused):
    """A certificate that does not allow the role that the hello claims."""

    summary = "the certificate does not allow the role that the hello claims"


class CertificateNotYetValid(CertificateRefused):
    """A certificate from the future, by this side's clock."""

    summary = "the certificate is not valid yet; check the clocks, or date it back a little"


class CertificateExpired(CertificateRefused):
    """A certificate whose time is over, by this side's clock."""

    summary = "the certificate has expired; have the authority issue a new one"


class WrapRefused(SealError):
    """A key that came wrapped from another member and is not accepted. Nothing has changed by it."""

    summary = "the key that the member wrapped is not accepted"


class WrapMalformed(WrapRefused):
    """Bytes that are not a wrap: of the wrong size, a reserved kind, or with bad fields."""

    summary = "the member sent a malformed key"


class WrapForged(WrapRefused):
    """The signature does not tie the wrap to this sender, receiver, channel, epoch and step."""

    summary = "the wrapped key was not signed by this member for this session"


class WrapUnopened(WrapRefused):
    """Correctly signed, and yet it does not open with this session's private key."""

    summary = "the wrapped key does not open with this session's private key"


class WrapConflict(WrapRefused):
    """The member gave another key for an epoch and step whose key is held already."""

    summary = "the member sent a second, different key for the same epoch; it may show others another face"


class PassphraseRefused(SealError, ValueError):
    """A passphrase that anybody could guess, or a salt of the wrong size."""

    summary = "the passphrase is too short"


class PaddingExceeded(SealError, ValueError):
    """A payload that does not fit the constant size that all frames were to have."""

    summary = "the payload does not fit the constant padded size; send less, or choose a larger one"


class CipherFailed(SealError):
    """The application's ``FrameCipher`` raised while sealing, or returned what it must not."""

    summary = "the application's cipher failed to seal; what it raised is the cause"


class KemRefused(SealError, ValueError):
    """A key encapsulation that is unknown, or that the installed ``cryptography`` does not have."""

    summary = "this key encapsulation is not offered; use x25519, or x-wing with a newer cryptography"


class PrivateFileRefused(SealError):
    """A file that holds secrets and can be read by others, or does not hold what it should."""

    summary = "the file is not private or not what it should be; it must be yours alone (chmod 600)"


class TrustStoreBusy(SealError):
    """The trust store stayed locked by another process, so nothing new is trusted."""

    summary = "another process holds the trust store; try again"
