"""``sealcast users``: everything that is kept about one user, handed out or deleted."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .failure import Failure, Status
from .output import note

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_AppId = Annotated[str, typer.Argument(help="The App ID.", metavar="APP_ID", show_default=False)]
_User = Annotated[str, typer.Argument(help="The user's name.", metavar="USER", show_default=False)]


@app.callback()
def _users() -> None:
    """Everything that is kept about one user of an app: hand it out, or delete it.

    \b
    Example:  sealcast users export APP_ID alice > alice.json
    """


@app.command()
def export(
    app_id: _AppId,
    user: _User,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Print all records about a user as JSON, a list with one record a line."""
    before = "["
    for record in reach(api, api_key, api_key_file, context).pages(f"/apps/{app_id}/records", user=user):
        print(f"{before}\n  {json.dumps(record)}", end="")
        before = ","
    print("[]" if before == "[" else "\n]")


@app.command()
def delete(
    app_id: _AppId,
    user: _User,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: there is no way back.")] = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Delete all records about a user, but bans in force. Who is in a channel stays there."""
    if not yes:
        raise Failure("records that are deleted cannot be brought back", "--yes", Status.USAGE)
    reached = reach(api, api_key, api_key_file, context)
    count, more = 0, True
    while more:
        answer = reached.ask("DELETE", f"/apps/{app_id}/records", user=user)
        count += sum(answer["deleted"].values())
        more = answer["more"]
    note(f"{count} records are deleted")
    for kind, kept in answer["kept"].items():
        note(f"{kept} records stay: each a {kind} that is in force")
