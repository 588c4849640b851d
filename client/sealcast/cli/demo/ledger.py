"""What the members report: who sent, heard and read how much, how late, and with what trouble."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Heard", "Ledger", "LineRead", "LineSent", "Member"]


class LineSent(NamedTuple):
    """A line that was acknowledged."""

    number: int
    offset: int
    text: str


class LineRead(NamedTuple):
    """A line that arrived and was opened."""

    offset: int
    user: str
    text: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The newest frame of sound at one listener."""

    number: int
    level: float
    """dB of full scale."""
    peaks: tuple[float, ...]
    """Shares of full scale, one for each part of the frame."""
    samples: tuple[int, ...]
    """The first few."""


@dataclass(slots=True)
class Member:
    """One member's account."""

    user: str
    sent: int = 0
    """Frames of sound that its SDK took to be sent."""
    unsent: int = 0
    """Frames that its SDK dropped instead."""
    heard: int = 0
    gaps: int = 0
    """Frames that came out of their order."""
    guest_frames: int = 0
    """Frames of others than the speaker; they count nowhere else."""
    guest_lines: int = 0
    lines_sent: list[LineSent] = field(default_factory=list)
    lines_read: list[LineRead] = field(default_factory=list)
    aside: tuple[str, str] | None = None
    """Who of the guests wrote what last."""
    latencies: array[int] = field(default_factory=lambda: array("q"))
    """Of frames and lines, in microseconds."""
    troubles: Counter[str] = field(default_factory=Counter)
    latest: Heard | None = None
    sha256: str = ""
    """Over all samples sent or heard, at the end."""

    @property
    def drops(self) -> int:
        """Everything that was lost on this member's side, or that it could not open."""
        return self.unsent + sum(self.troubles.values())

    def take(self, said: dict[str, Any]) -> None:
        """Enter one report."""
        if said["event"] == "result":
            self.sha256 = said["sha256"]
        if said["event"] != "progress":
            return
        self.sent, self.unsent = said["sent"], said["unsent"]
        self.heard, self.gaps, self.guest_frames = said["heard"], said["gaps"], said["guests"]
        self.troubles = Counter(said["troubles"])
        self.latencies.extend(said["latencies"])
        self.lines_sent += [LineSent(*line) for line in said["acked"]]
        for offset, user, text, latency in said["read"]:
            self.lines_read.append(LineRead(offset, user, text))
            self.latencies.append(latency)
        for user, text in said["aside"]:
            self.guest_lines += 1
            self.aside = (user, text)
        if (latest := said["latest"]) is not None:
            self.latest = Heard(
                latest["number"], latest["level"], tuple(latest["peaks"]), tuple(latest["samples"])
            )


class Ledger:
    """The accounts of one conversation.

    Args:
        users: its members, in the order in which they talk.
        speaker: the one who plays the sound.

    """

    def __init__(self, users: tuple[str, ...], speaker: str) -> None:
        self.members = {user: Member(user) for user in users}
        self.speaker = self.members[speaker]
        self.listeners = [member for member in self.members.values() if member is not self.speaker]

    @property
    def frames_sent(self) -> int:
        """Frames of sound that went out."""
        return self.speaker.sent

    @property
    def lines_sent(self) -> int:
        """Lines that were acknowledged."""
        return sum(len(member.lines_sent) for member in self.members.values())

    @property
    def frames_heard(self) -> int:
        """Frames that were opened, by all listeners."""
        return sum(member.heard for member in self.listeners)

    @property
    def lines_read(self) -> int:
        """Lines that were opened, by all members."""
        return sum(len(member.lines_read) for member in self.members.values())

    @property
    def drops(self) -> int:
        """What was lost anywhere."""
        return sum(member.drops for member in self.members.values())

    def latencies(self, newest: int | None = None) -> array[int]:
        """Return what was measured, in microseconds, from before sealing to after opening.

        All of it, or the *newest* so many of each member.
        """
        together = array("q")
        for member in self.members.values():
            together.extend(member.latencies if newest is None else member.latencies[-newest:])
        return together

    @property
    def complete(self) -> bool:
        """Whether everything that was sent has arrived at everybody else."""
        others = len(self.members) - 1
        return self.frames_heard >= self.frames_sent * others and self.lines_read >= self.lines_sent * others

    def texts(self) -> list[str]:
        """Return every line that was sent."""
        return [line.text for member in self.members.values() for line in member.lines_sent]

    def order_broken_at(self) -> str | None:
        """Return the first member who did not read exactly what the others sent, in the order of offsets.

        None when every line was read once by everybody else, unchanged and in order.
        """
        for reader in self.members.values():
            expected = sorted(
                LineRead(line.offset, member.user, line.text)
                for member in self.members.values()
                if member is not reader
                for line in member.lines_sent
            )
            if reader.lines_read != expected or not expected:
                return reader.user
        return None
