"""From what the conductor holds to the checks: the searches, the opening, the reading again."""

from __future__ import annotations

from pathlib import Path

from . import wav
from .checks import Check, Evidence, Sweeps, digest_of, judge, sweep
from .conductor import CHANNEL, Conductor, Conversation
from .reopened import Reopened, Secrets, reopen
from .tap import Recording

__all__ = ["collect", "conclude"]


def collect(conductor: Conductor) -> Evidence:
    """Gather the evidence of a demo that has run to its end. Takes seconds; raises OSError for files."""
    talk, control, tap = conductor.conversation, conductor.control, conductor.tap
    assert talk is not None, "the conversation is over"
    assert control is not None, "the control is over"
    assert tap is not None, "the tap is closed"
    audio, out = conductor.plan.audio, conductor.plan.out
    # Everything that is not the control is searched, whatever it was.
    clear = tap.of(control.venue.app_id)
    sealed = [recording for recording in tap.recordings if recording not in clear]
    secrets = _secrets(talk)
    return Evidence(
        ledger=talk.ledger,
        witness=talk.witness,
        control_ledger=control.ledger,
        control_witness=control.witness,
        metrics=conductor.relay_metrics,
        loaded=conductor.relay_loaded,
        statuses=conductor.statuses,
        faults=_faults(talk, sealed) + _faults(control, clear),
        connections=len(sealed),
        cut=any(recording.cut for recording in sealed),
        reopened=_reopen(talk, sealed),
        sweeps=Sweeps(
            sealed=sweep(_texts(sealed), talk.ledger, audio, secrets),
            clear=sweep(_texts(clear), control.ledger, audio, {}),
        ),
        expected=lambda frames: digest_of(audio, frames),
        written=_written(out) if out is not None else None,
    )


def conclude(conductor: Conductor) -> list[Check]:
    """Return all checks of a demo that has run to its end."""
    return judge(collect(conductor))


def _written(path: Path) -> str:
    """Return the SHA-256 over the samples of the file that was written; nothing when it has none."""
    try:
        return digest_of(path)
    except (wav.NotPlayable, OSError):
        return ""


def _faults(talk: Conversation, recordings: list[Recording]) -> list[str]:
    """Return why connections of the conversation's members could not be followed."""
    users = {number: party.user for number, party in talk.witness.parties.items()}
    return [r.fault for r in recordings if r.fault and users.get(r.number) in talk.ledger.members]


def _texts(recordings: list[Recording]) -> list[bytes]:
    return [text for recording in recordings for text in recording.texts()]


def _secrets(talk: Conversation) -> dict[str, list[bytes]]:
    venue = talk.venue
    assert venue.secret is not None, "this conversation is sealed"
    certificate = [venue.certificate.encode(), bytes.fromhex(venue.certificate)]
    return {"the content key": [venue.secret], "the app certificate": certificate}


def _reopen(talk: Conversation, recordings: list[Recording]) -> Reopened:
    venue = talk.venue
    assert venue.secret is not None, "this conversation is sealed"
    users = frozenset(talk.plan.members)
    secrets = Secrets(venue.app_id, CHANNEL, venue.secret)
    return reopen(recordings, talk.witness, secrets, users, talk.plan.speaker)
