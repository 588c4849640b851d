"""How a channel's frames are protected, besides by which keys: the same choices for every key provider."""

from __future__ import annotations

from dataclasses import dataclass

from .custom import FrameCipher, custom_suite
from .padding import NONE, Padding, PaddingRule, padding_rule
from .suites import AES_128_GCM, Suite, suite_by_id, suite_by_name

__all__ = ["Protection"]


@dataclass(frozen=True, slots=True)
class Protection:
    """Suite or cipher, padding, signatures on media, and how fresh a sender must prove to be."""

    suite: Suite = AES_128_GCM
    cipher: FrameCipher | None = None
    padding: Padding = NONE
    sign_media: bool = False
    audience: bool = False

    @classmethod
    def of(
        cls,
        suite: Suite | str | None,
        cipher: FrameCipher | None,
        padding: PaddingRule,
        sign_media: bool,
        audience: bool,
    ) -> Protection:
        """Return the choices that the arguments of a ``Key`` constructor stand for.

        Raises:
            SuiteRefused: the suite is not offered, or the cipher's number is not for private use.
            ValueError: both a suite and a cipher, an unknown padding, or an overhead out of range.

        """
        if cipher is not None:
            if suite is not None:
                raise ValueError("a custom cipher brings its own suite number; give one or the other")
            chosen = custom_suite(cipher)
        elif suite is None:
            chosen = AES_128_GCM
        else:
            chosen = suite_by_name(suite) if isinstance(suite, str) else suite_by_id(suite.id)
        return cls(chosen, cipher, padding_rule(padding), sign_media, audience)
