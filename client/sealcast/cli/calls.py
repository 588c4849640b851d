"""``sealcast calls``: past and present calls, and who was in them."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .listing import moment, print_json, print_table
from .output import printable
from .span import FromOption, ToOption, span

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_AppId = Annotated[str, typer.Argument(help="The App ID.", metavar="APP_ID", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.callback()
def _calls() -> None:
    """Past and present calls: the life of a channel, and who was in it, when and from where.

    \b
    Example:  sealcast calls list APP_ID --user alice --from 7d
    """


@app.command("list")
def list_calls(
    app_id: _AppId,
    channel: Annotated[str | None, typer.Option(help="Of this channel only.", show_default=False)] = None,
    user: Annotated[str | None, typer.Option(help="In which this user was.", show_default=False)] = None,
    address: Annotated[
        str | None, typer.Option(help="In which somebody from there was.", show_default=False)
    ] = None,
    since: FromOption = None,
    until: ToOption = None,
    most: Annotated[int, typer.Option("--limit", help="Calls at most.", min=1)] = 1000,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Search the calls of an app, those that began last first."""
    asked = {"channel": channel, "user": user, "address": address}
    query = {name: text for name, text in asked.items() if text is not None} | span(since, until)
    found = reach(api, api_key, api_key_file, context).pages(f"/apps/{app_id}/calls", **query)
    calls = list(itertools.islice(found, most))
    if json:
        print_json(calls)
        return
    columns = ("CALL ID", "CHANNEL", "BEGUN", "OVER", "JOINS", "PEAK", "NODE")
    print_table(
        columns,
        (
            (
                call["call_id"],
                call["channel"],
                moment(call["opened"]),
                moment(call["closed"]),
                call["memberships"],
                call["peak"],
                call["node"],
            )
            for call in calls
        ),
    )


@app.command()
def show(
    app_id: _AppId,
    call_id: Annotated[
        str, typer.Argument(help="As `calls list` shows it.", metavar="CALL_ID", show_default=False)
    ],
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Show one call and everybody who was in it."""
    reached = reach(api, api_key, api_key_file, context)
    members: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = reached.ask("GET", f"/apps/{app_id}/calls/{call_id}", limit=200, cursor=cursor)
        members += page["members"]
        cursor = page["next"]
        if not cursor:
            break
    call = page["call"]
    if json:
        print_json({"call": call, "members": members})
        return
    for field in ("channel", "node", "memberships", "peak", "reason"):
        print(f"{field} = {printable(str(call[field]))}")
    print(f"begun = {moment(call['opened'])}\nover = {moment(call['closed'])}\n")
    columns = ("USER", "FROM", "SYSTEM", "JOINED", "LEFT", "REASON", "FRAMES", "BYTES")
    print_table(
        columns,
        (
            (
                member["user"],
                member["address"],
                member["system"],
                moment(member["joined"]),
                moment(member["left"]),
                member["reason"],
                member["frames_in"],
                member["bytes_in"],
            )
            for member in members
        ),
    )
