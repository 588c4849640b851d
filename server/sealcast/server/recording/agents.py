"""Which operating system a ``User-Agent`` names, as far as a few plain words of it say so."""

from __future__ import annotations

from typing import Final

__all__ = ["system_of"]

_WORDS: Final = (
    ("Windows", ("windows nt", "windows phone", "win64", "win32")),
    ("iOS", ("iphone", "ipad", "ipod", "ios/", "ios ")),
    ("Android", ("android",)),
    ("ChromeOS", ("cros ",)),
    ("macOS", ("macintosh", "mac os x", "macos", "darwin/")),
    ("FreeBSD", ("freebsd",)),
    ("Linux", ("linux",)),
)
"""In the order in which they are looked for: iOS says "like Mac OS X", and Android says Linux."""


def system_of(agent: str) -> str:
    """Return the operating system, or an empty text. A user agent is a claim, and so is this."""
    said = agent.lower()
    for name, words in _WORDS:
        if any(word in said for word in words):
            return name
    return ""
