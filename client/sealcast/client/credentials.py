"""Where the tokens of a membership come from: a text, or a callback of the application."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from sealcast.protocol.controls import TOKEN_MAX

from .errors import RequestTimeout

__all__ = ["CALLBACK_TIMEOUT", "Credentials", "TokenSource", "checked_token"]

TokenSource: TypeAlias = str | Callable[[str, str], str | Awaitable[str]]
"""A token, or ``callback(channel, user)`` that returns one or an awaitable of one."""

CALLBACK_TIMEOUT: Final = 30.0
"""Seconds that a token callback may take."""


def checked_token(token: str) -> str:
    """Return *token* if it can be one.

    Raises:
        TypeError: it is not text.
        ValueError: it is empty or too long. The error does not repeat it.

    """
    if not isinstance(token, str):
        raise TypeError(f"a token is text, not {type(token).__name__}")
    if not 1 <= len(token) <= TOKEN_MAX:
        raise ValueError(f"a token has 1-{TOKEN_MAX} characters")
    return token


class Credentials:
    """The tokens of one user for one channel."""

    __slots__ = ("_channel", "_source", "_user")

    def __init__(self, source: TokenSource | None, channel: str, user: str) -> None:
        if source is not None and not callable(source):
            checked_token(source)
        self._source = source
        self._channel = channel
        self._user = user

    def __repr__(self) -> str:
        return f"Credentials(renewable={self.renewable})"

    @property
    def renewable(self) -> bool:
        """Whether a fresh token can be had: whether there is a callback."""
        return callable(self._source)

    async def token(self) -> str | None:
        """Return a token; None when the application gave none.

        Raises:
            RequestTimeout: the callback did not return in time.
            Exception: what the callback raised.

        """
        if not callable(self._source):
            return self._source
        token = self._source(self._channel, self._user)
        if inspect.isawaitable(token):
            try:
                async with asyncio.timeout(CALLBACK_TIMEOUT) as limit:
                    token = await token
            except TimeoutError:
                if not limit.expired():
                    raise
                detail = f"the token callback did not return within {CALLBACK_TIMEOUT:g} s"
                raise RequestTimeout(detail) from None
        return checked_token(token)

    def replace(self, token: str) -> None:
        """Use *token* from now on, unless there is a callback: a rejoin must not present the old one."""
        if not callable(self._source):
            self._source = checked_token(token)
