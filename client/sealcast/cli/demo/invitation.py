"""What lets somebody else take part in the running demo: from a second terminal, or in a browser."""

from __future__ import annotations

import shlex
import shutil
import sys

from rich.text import Text

from .conductor import CHANNEL, GUEST, Conductor

__all__ = ["invitation"]


def invitation(conductor: Conductor) -> Text:
    """Return a command for another terminal, with token and key in its environment, and a link for a browser.

    All are worth nothing after the demo: app and key were made for it.
    """
    talk = conductor.conversation
    assert talk is not None, "announced when everybody has met"
    venue = talk.venue
    assert venue.secret is not None, "this conversation is sealed"
    words = [
        f"SEALCAST_KEY={venue.secret.hex()}",
        f"SEALCAST_TOKEN={shlex.quote(venue.token(GUEST))}",
        *_sealcast(),
        "join",
        CHANNEL,
        f"--url={conductor.url}",
        f"--app-id={venue.app_id}",
        f"--user={GUEST}",
    ]
    text = Text("Join from a second terminal:\n\n", "dim")
    text.append(" ".join(words) + "\n", "not dim")
    lasting = (
        "until Ctrl-C"
        if not conductor.plan.seconds
        else "as long as the demo; --keep lets it stay until Ctrl-C"
    )
    text.append(f"\nWatch it in a browser ({lasting}); the link is good once, for ten minutes:\n\n", "dim")
    text.append(conductor.console_link + "\n", "not dim")
    return text


def _sealcast() -> list[str]:
    """Return how the other terminal calls this program."""
    if shutil.which("sealcast") is not None:
        return ["sealcast"]
    return [shlex.quote(sys.executable), "-m", "sealcast.cli"]
