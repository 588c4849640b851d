"""``sealcast revoke``: make tokens worthless before their time."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .failure import Failure, Status
from .listing import moment, print_json, print_table
from .output import printable
from .secret import read_secret

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_AppId = Annotated[str, typer.Argument(help="The App ID.", metavar="APP_ID", show_default=False)]
_Channel = Annotated[str | None, typer.Option(help="A channel.", show_default=False)]
_User = Annotated[str | None, typer.Option(help="A user.", show_default=False)]
_TokenId = Annotated[
    str | None, typer.Option(help="One token, as `token inspect` names it.", show_default=False)
]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.callback()
def _revoke() -> None:
    """Make tokens worthless before their time; who is in by one is put out at once.

    \b
    Example:  sealcast revoke add APP_ID --user mallory
              sealcast revoke add APP_ID --token-file stolen.token
    """


@app.command()
def add(
    app_id: _AppId,
    channel: _Channel = None,
    user: _User = None,
    issued_before: Annotated[
        str | None,
        typer.Option(
            help="Those issued before: Unix seconds, or 2026-01-31T12:00Z; by default all that there are."
            " Alone it revokes them in the whole app.",
            show_default=False,
        ),
    ] = None,
    token_id: _TokenId = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            help="A file with the token, - for stdin. The token stays here: its id is sent.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="For operators; clients are not told.")] = "",
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Revoke one token, or those of a user, of a channel, of both, and print the revocation's id."""
    from sealcast.protocol import tokens

    if token_file is not None:
        if token_id is not None:
            raise Failure("--token-id and --token-file name a token each", "one of them", Status.USAGE)
        token_id = tokens.token_id(read_secret(token_file))
    body: dict[str, Any] = {
        "token_id": token_id,
        "channel": channel,
        "user": user,
        "issued_before": None if issued_before is None else _time(issued_before),
    }
    body = {name: given for name, given in body.items() if given is not None}
    if not body:
        hint = "--user, --channel, --issued-before, --token-id or --token-file"
        raise Failure("nothing to revoke", hint, Status.USAGE)
    body["reason"] = reason
    made = reach(api, api_key, api_key_file, context).ask("POST", f"/apps/{app_id}/revocations", body)
    if json:
        print_json(made)
    else:
        print(printable(made["revocation_id"]))


@app.command("list")
def list_revocations(
    app_id: _AppId,
    channel: _Channel = None,
    user: _User = None,
    token_id: _TokenId = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List the revocations that are still needed: a token lives for a day at most."""
    names = {"channel": channel, "user": user, "token_id": token_id}
    asked = {name: given for name, given in names.items() if given}
    found = list(reach(api, api_key, api_key_file, context).pages(f"/apps/{app_id}/revocations", **asked))
    if json:
        print_json(found)
        return
    fields = ("revocation_id", "token_id", "channel", "user")
    print_table(
        ("REVOCATION ID", "TOKEN ID", "CHANNEL", "USER", "ISSUED BEFORE", "NEEDED UNTIL", "REASON"),
        (
            (
                *(each[field] for field in fields),
                moment(each["issued_before"]),
                moment(each["until"]),
                each["reason"],
            )
            for each in found
        ),
    )


@app.command()
def lift(
    app_id: _AppId,
    revocation_id: Annotated[
        str,
        typer.Argument(
            help="Its id, as `revoke list` shows it.", metavar="REVOCATION_ID", show_default=False
        ),
    ],
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Lift a revocation: the tokens are good again, as far as they have not ended."""
    reach(api, api_key, api_key_file, context).ask("DELETE", f"/apps/{app_id}/revocations/{revocation_id}")


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Failure(
            "--issued-before is no time", "Unix seconds, or 2026-01-31T12:00Z", Status.USAGE
        ) from None
