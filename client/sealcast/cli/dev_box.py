"""The process that makes a content key for ``sealcast serve --dev`` and prints what to type.

Reads the facts about the relay as JSON from standard input, writes the context file, prints the box and
ends. The relay that started it never has the key.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sealcast.client.tokens import mint
from sealcast.protocol.version import __version__

from .context import write_context

__all__ = ["box", "main"]

_CHANNEL: Final = "standup"
_USERS: Final = ("alice", "bob")
_TTL: Final = 86_400
_RULE: Final = "─" * 78


def main() -> None:
    """Make the key, write the context file, print the box."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # a rule that cannot be encoded
    facts = json.load(sys.stdin)
    key = secrets.token_bytes(32).hex()
    kept = {name: facts[name] for name in ("url", "app_id", "certificate", "api", "api_key") if name in facts}
    write_context(Path(facts["context"]), {**kept, "key": key})
    token = mint(facts["app_id"], facts["certificate"], _CHANNEL, _USERS[0], ttl=_TTL)
    print(box({**facts, "token": token, "key": key}), flush=True)


def box(facts: Mapping[str, str]) -> str:
    """Return the text. No frame at its sides: what is copied from it must be a command and nothing else."""
    join, other = (
        f"{facts['program']} join {_CHANNEL} --user {user} --context {shlex.quote(facts['context'])}"
        for user in _USERS
    )
    operators = ""
    if "api" in facts:
        operators = f"""
For operators: the API at {facts["api"]}/api/v1, with the key {facts["api_key"]}:

{facts["program"]} apps list --context {shlex.quote(facts["context"])}
"""
    if "console" in facts:
        operators += f"""
The console, with all of this in a browser; the link is good once, for ten minutes:

{facts["console"]}

"""
    return f"""\
{_RULE}
sealcast {__version__}, for trying out: this machine only, until you stop it

  URL          {facts["url"]}
  App ID       {facts["app_id"]}
  certificate  {facts["certificate"]}
  content key  {facts["key"]}
  token        {facts["token"]}
               ({_USERS[0]} in {_CHANNEL}, for 24 h)

Type this in a second terminal:

{join}

and this in a third one:

{other}

What you type in one appears in the other. The relay passes it on and cannot read it:
the key above was made by another process, and the relay was not told.
{operators}The file after --context holds these values for you alone, and goes when the relay stops.
{_RULE}"""


if __name__ == "__main__":
    main()
