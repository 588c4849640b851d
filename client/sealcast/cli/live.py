"""``sealcast channels``, ``members`` and ``kick``: what goes on in a relay, and who has to go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .failure import Failure, Status
from .listing import moment, print_json, print_table
from .output import printable

__all__ = ["channels", "kick", "members"]

channels = typer.Typer(add_completion=False, rich_markup_mode=None)
members = typer.Typer(add_completion=False, rich_markup_mode=None)

_AppId = Annotated[str, typer.Argument(help="The App ID.", metavar="APP_ID", show_default=False)]
_Channel = Annotated[str, typer.Argument(help="The channel.", metavar="CHANNEL", show_default=False)]
_User = Annotated[str, typer.Argument(help="The user.", metavar="USER", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@channels.callback()
def _channels() -> None:
    """The channels of an app that somebody is in, and what channels have kept.

    \b
    Example:  sealcast channels list 0123456789abcdef0123456789abcdef --prefix team-
              sealcast channels delete-history 0123456789abcdef0123456789abcdef standup
    """


@channels.command("list")
def list_channels(
    app_id: _AppId,
    prefix: Annotated[str, typer.Option(help="What their names begin with.", show_default=False)] = "",
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List the channels that somebody is in."""
    found = list(reach(api, api_key, api_key_file, context).pages(f"/apps/{app_id}/channels", prefix=prefix))
    if json:
        print_json(found)
        return
    columns = ("CHANNEL", "MEMBERS", "SINCE", "EPOCH", "OFFSET")
    print_table(
        columns,
        (
            (each["channel"], each["members"], moment(each["since"]), each["epoch"], each["offset"])
            for each in found
        ),
    )


@channels.command("show")
def show_channel(
    app_id: _AppId,
    channel: _Channel,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Show a channel that somebody is in: how much is sent, what was dropped, what is kept."""
    found = reach(api, api_key, api_key_file, context).ask("GET", f"/apps/{app_id}/channel", channel=channel)
    _show(found, json)


@channels.command()
def delete_history(
    app_id: _AppId,
    channel: _Channel,
    upto: Annotated[
        int | None,
        typer.Option(help="The offset of the last message that goes; by default all go.", show_default=False),
    ] = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Delete what a channel has kept of its messages, whether somebody is in it or not."""
    query: dict[str, str | int] = {"channel": channel}
    if upto is not None:
        query["upto"] = upto
    path = f"/apps/{app_id}/channel/history"
    done = reach(api, api_key, api_key_file, context).ask("DELETE", path, None, **query)
    if json:
        print_json(done)
    else:
        print(f"{done['erased']} deleted")


@members.callback()
def _members() -> None:
    """The members of a channel, or the channels of a user.

    \b
    Example:  sealcast members list 0123456789abcdef0123456789abcdef standup
              sealcast members list 0123456789abcdef0123456789abcdef --user alice
    """


@members.command("list")
def list_members(
    app_id: _AppId,
    channel: Annotated[
        str | None, typer.Argument(help="The channel.", metavar="[CHANNEL]", show_default=False)
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="In place of a channel: where this user is.", metavar="USER", show_default=False),
    ] = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List the members of a channel, or with --user all channels in which a user is."""
    if (channel is None) is (user is None):
        raise Failure(
            "neither a channel nor a user, or both",
            "a channel, or --user; `members show` has both",
            Status.USAGE,
        )
    relay = reach(api, api_key, api_key_file, context)
    if channel is not None:
        found = list(relay.pages(f"/apps/{app_id}/members", channel=channel))
    else:
        found = list(relay.pages(f"/apps/{app_id}/memberships", user=user or ""))
    if json:
        print_json(found)
        return
    columns = ("CHANNEL", "USER", "MEMBER", "SINCE", "ADDRESS", "AWAY", "FRAMES", "BYTES")
    fields = ("address", "lingering", "frames", "bytes")
    print_table(
        columns,
        (
            (
                each["channel"],
                each["user"],
                each["member"],
                moment(each["since"]),
                *(each[field] for field in fields),
            )
            for each in found
        ),
    )


@members.command("show")
def show_member(
    app_id: _AppId,
    channel: _Channel,
    user: _User,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Show a member: since when, from where, what it may do, what it sent and did not get."""
    found = reach(api, api_key, api_key_file, context).ask(
        "GET", f"/apps/{app_id}/member", channel=channel, user=user
    )
    _show(found, json)


def kick(
    app_id: _AppId,
    channel: Annotated[
        str | None, typer.Option(help="Out of this channel; by default out of all.", show_default=False)
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="This user; by default everybody.", show_default=False)
    ] = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Put a user out of a channel or of all channels, or everybody out of a channel, and say how many.

    Who has a token may join again: a ban keeps somebody out.

    \b
    Example:  sealcast kick 0123456789abcdef0123456789abcdef --channel standup --user mallory
    """
    if channel is None and user is None:
        raise Failure("nobody is named", "--user, --channel, or both", Status.USAGE)
    whom = {"channel": channel, "user": user}
    body = {name: value for name, value in whom.items() if value is not None}
    done = reach(api, api_key, api_key_file, context).ask("POST", f"/apps/{app_id}/kick", body)
    if json:
        print_json(done)
    else:
        print(f"{done['kicked']} kicked")


def _show(tree: Mapping[str, Any], json: bool) -> None:
    if json:
        print_json(tree)
        return
    for name, value in _lines(tree, ""):
        print(printable(f"{name} = {value}"))


def _lines(tree: Mapping[str, Any], before: str) -> list[tuple[str, str]]:
    """Return a tree of JSON as a line for each leaf, with dates for times."""
    found: list[tuple[str, str]] = []
    for name, value in tree.items():
        where = f"{before}{name}"
        if isinstance(value, dict):
            found += _lines(value, f"{where}.")
        elif name == "since" or before == "rights.":
            found.append((where, moment(value)))
        elif value is None:
            found.append((where, "none"))
        elif isinstance(value, bool):
            found.append((where, "yes" if value else "no"))
        else:
            found.append((where, str(value)))
    return found
