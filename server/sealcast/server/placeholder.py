"""Secrets that are none: what stands in examples, and what somebody typed to have something there."""

from __future__ import annotations

import itertools
from typing import Final

__all__ = ["is_placeholder"]

_LEAST_DISTINCT: Final = 8
"""Of 32 random hexadecimal digits fewer are distinct once in 25 million times."""

_PERIOD_MOST: Final = 4
"""Differences from one digit to the next that repeat after so many were counted up, not drawn."""

_KNOWN: Final = frozenset({"970ca35de60c44645bbae8a215061b33", "5cfd2fd1755d40ecb72977518be15d3b"})
"""The App ID and certificate in the examples of the public token builders, in lower case."""

_WORDS: Final = ("change", "example", "password", "placeholder", "replace", "secret", "sealcast-")


def is_placeholder(secret: str) -> bool:
    """Say whether a secret of 32 characters or more can be guessed by who knows how people make them up."""
    text = secret.lower()
    if text in _KNOWN or len(set(text)) < _LEAST_DISTINCT or any(word in text for word in _WORDS):
        return True
    digits = [int(char, 36) if char.isascii() and char.isalnum() else ord(char) for char in text]
    steps = [(after - before) % 16 for before, after in itertools.pairwise(digits)]
    counted = any(steps[period:] == steps[:-period] for period in range(1, _PERIOD_MOST + 1))
    return counted or any(
        text == (text[:size] * len(text))[: len(text)] for size in range(1, len(text) // 2 + 1)
    )
