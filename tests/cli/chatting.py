"""People in a chat, each a `sealcast join` of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Start = Callable[..., Awaitable[Any]]


async def joined(start: Start, venue: Any, user: str, *arguments: str, **env: str) -> Any:
    """Start a chat over pipes; return it once it has said where it is."""
    program = await start("join", "standup", "--user", user, *arguments, env=venue.env(**env))
    assert (await program.line()).startswith(f"* {user} in standup, ")
    assert (await program.line()).startswith(("* here: ", "* nobody else"))
    return program
