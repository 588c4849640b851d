"""Two members of one channel who hold the same key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealcast.client.e2ee import ChannelCrypto, Key

APP = "0123456789abcdef0123456789abcdef"
SECRET = bytes(range(32))


@pytest.fixture
def bind() -> Callable[..., ChannelCrypto]:
    """Make a context: ``bind("alice")``, with anything else that should differ."""

    def make(
        user: str,
        *,
        app: str = APP,
        channel: str = "standup",
        secret: bytes = SECRET,
        suite: str = "AES_128_GCM",
        epoch: int = 0,
    ) -> ChannelCrypto:
        return Key.raw(secret, suite=suite, epoch=epoch).bind(app, channel, user)

    return make


@pytest.fixture(params=["AES_128_GCM", "AES_256_GCM"])
def pair(
    request: pytest.FixtureRequest, bind: Callable[..., ChannelCrypto]
) -> tuple[ChannelCrypto, ChannelCrypto]:
    """Alice, and Bob, to whom she is member 1."""
    alice, bob = bind("alice", suite=request.param), bind("bob", suite=request.param)
    bob.add_member(1, "alice", alice.hello)
    return alice, bob
