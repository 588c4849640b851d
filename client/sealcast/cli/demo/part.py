"""What a participant is told when it starts: its part in the conversation, as one line of JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["LINE_INTERVAL", "Part"]

LINE_INTERVAL: Final = 1.0
"""Seconds between two lines of one member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One participant's part. It arrives by standard input: token and key never stand in an argument."""

    url: str
    app_id: str
    channel: str
    user: str
    token: str = field(repr=False)
    secret: str | None = field(repr=False)
    """The content key in hexadecimal digits, None to talk in clear text."""
    members: tuple[str, ...]
    """Everybody in the conversation, this participant included, in the order in which they talk."""
    speaker: str
    """The one who plays the sound."""
    audio: str
    """The file of the sound. The speaker plays it, the others know from it what samples look like."""
    out: str | None = None
    """Where to write what was heard."""
    seconds: float = 0.0
    """How long to play and talk; 0: until told to stop."""

    @property
    def place(self) -> int:
        """This participant's place in the order."""
        return self.members.index(self.user)

    def to_json(self) -> dict[str, Any]:
        """Return what ``read`` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, line: bytes | str) -> Part:
        """Read one line of JSON. Raises ValueError or TypeError when it is not a part."""
        values = json.loads(line)
        return cls(**{**values, "members": tuple(values["members"])})
