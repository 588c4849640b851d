"""``sealcast blocks``: the addresses that a relay keeps out."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .listing import moment, print_json, print_table
from .quantity import duration

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
_Network = Annotated[
    str,
    typer.Argument(
        help="An address, or a network such as 192.0.2.0/24.", metavar="NETWORK", show_default=False
    ),
]


@app.callback()
def _blocks() -> None:
    """The addresses that a relay keeps out: by itself, by operators, by its configuration.

    \b
    Example:  sealcast blocks list
              sealcast blocks add 192.0.2.0/24 --for 2h --reason "scans us"
              sealcast blocks lift 203.0.113.7
    """


@app.command("list")
def list_blocks(
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List what is kept out now."""
    found = list(reach(api, api_key, api_key_file, context).pages("/blocks"))
    if json:
        print_json(found)
        return
    columns = ("NETWORK", "FROM", "REASON", "SINCE", "UNTIL")
    print_table(
        columns,
        (
            (each["network"], each["origin"], each["reason"], moment(each["since"]), moment(each["until"]))
            for each in found
        ),
    )


@app.command()
def add(
    network: _Network,
    lasts: Annotated[
        str | None,
        typer.Option(
            "--for", help="How long: 30m, 2h, 7d; by default until it is lifted.", show_default=False
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for others who look at it.")] = "",
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Keep a network out: no new connections from now on; those that are inside stay."""
    body: dict[str, Any] = {"network": network, "seconds": duration("--for", lasts), "reason": reason}
    made = reach(api, api_key, api_key_file, context).ask("POST", "/blocks", body)
    if json:
        print_json(made)


@app.command()
def lift(
    network: _Network,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Let a network in again, and forget what was counted of it."""
    reach(api, api_key, api_key_file, context).ask("DELETE", f"/blocks/{network}")
