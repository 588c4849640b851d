"""``sealcast ban``: keep somebody out of an app, or take from them what they may publish."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .failure import Failure, Status
from .listing import moment, print_json, print_table
from .output import printable
from .quantity import duration

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_AppId = Annotated[str, typer.Argument(help="The App ID.", metavar="APP_ID", show_default=False)]
_BanId = Annotated[
    str, typer.Argument(help="Its id, as `ban list` shows it.", metavar="BAN_ID", show_default=False)
]
_Address = Annotated[
    str | None, typer.Option(help="An address or network: 192.0.2.7, 192.0.2.0/24.", show_default=False)
]
_Channel = Annotated[str | None, typer.Option(help="A channel.", show_default=False)]
_User = Annotated[str | None, typer.Option(help="A user.", show_default=False)]
_For = Annotated[
    str | None,
    typer.Option(
        "--for", help="How long, from now on: 10m, 12h; by default until it is lifted.", show_default=False
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.callback()
def _ban() -> None:
    """Keep an address, a channel, a user, or a user in a channel, out of an app.

    \b
    Example:  sealcast ban add APP_ID --user mallory --channel standup --for 1h
              sealcast ban add APP_ID --address 192.0.2.0/24 --take audio --take video
    """


@app.command()
def add(
    app_id: _AppId,
    address: _Address = None,
    channel: _Channel = None,
    user: _User = None,
    take: Annotated[
        list[str] | None,
        typer.Option(
            help="What it takes away: join (the default), audio, video, data; can be given again.",
            show_default=False,
        ),
    ] = None,
    lasts: _For = None,
    reason: Annotated[str, typer.Option(help="For operators; clients are not told.")] = "",
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Make a rule, which holds at once, and print its id. With `--for 0` it puts out, and no more."""
    names = {"address": address, "channel": channel, "user": user}
    if not any(names.values()):
        raise Failure("nobody to ban", "--user, --channel, --address, or several", Status.USAGE)
    body: dict[str, Any] = {name: given for name, given in names.items() if given}
    body |= {"privileges": take or ["join"], "reason": reason, "duration": _seconds(lasts)}
    made = reach(api, api_key, api_key_file, context).ask("POST", f"/apps/{app_id}/bans", body)
    if json:
        print_json(made)
    else:
        print(printable(made["ban_id"]))


@app.command("list")
def list_bans(
    app_id: _AppId,
    address: _Address = None,
    channel: _Channel = None,
    user: _User = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List the rules that there are; of an address, those that name it or a network that it is in."""
    names = {"address": address, "channel": channel, "user": user}
    asked = {name: given for name, given in names.items() if given}
    found = list(reach(api, api_key, api_key_file, context).pages(f"/apps/{app_id}/bans", **asked))
    if json:
        print_json(found)
        return
    fields = ("ban_id", "address", "channel", "user")
    print_table(
        ("BAN ID", "ADDRESS", "CHANNEL", "USER", "TAKES", "UNTIL", "REASON"),
        (
            (
                *(each[field] for field in fields),
                " ".join(each["privileges"]),
                moment(each["until"]) or "lifted",
                each["reason"],
            )
            for each in found
        ),
    )


@app.command()
def change(
    app_id: _AppId,
    ban_id: _BanId,
    lasts: _For = None,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Let a rule end at another time; without `--for` it lasts until it is lifted."""
    body = {"duration": _seconds(lasts)}
    reach(api, api_key, api_key_file, context).ask("PATCH", f"/apps/{app_id}/bans/{ban_id}", body)


@app.command()
def lift(
    app_id: _AppId,
    ban_id: _BanId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Lift a rule: what it took away is given back at once."""
    reach(api, api_key, api_key_file, context).ask("DELETE", f"/apps/{app_id}/bans/{ban_id}")


def _seconds(lasts: str | None) -> float | None:
    return 0.0 if lasts is not None and lasts.strip() == "0" else duration("--for", lasts)
