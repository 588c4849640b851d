"""``sealcast keys``: the keys of a relay's API."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .listing import moment, print_json, print_table
from .output import printable
from .quantity import duration

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.callback()
def _keys() -> None:
    """The keys of a relay's API. The first one comes from `sealcast admin key`.

    \b
    Example:  sealcast keys create --name deploy --scope apps:read --scope apps:write --ttl 30d
    """


@app.command("list")
def list_keys(
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List the keys, without themselves."""
    keys = list(reach(api, api_key, api_key_file, context).pages("/keys"))
    if json:
        print_json(keys)
        return
    columns = ("KEY ID", "NAME", "SCOPES", "APP", "EXPIRES", "LAST USED")
    print_table(
        columns,
        (
            (
                key["key_id"],
                key["name"],
                " ".join(key["scopes"]),
                key["app_id"],
                moment(key["expires"]),
                moment(key["last_used"]),
            )
            for key in keys
        ),
    )


@app.command()
def create(
    scope: Annotated[list[str], typer.Option(help="What it may do, as in apps:read; can be given again.")],
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    app_id: Annotated[
        str | None, typer.Option("--app", help="Good for this app only.", show_default=False)
    ] = None,
    rate: Annotated[int | None, typer.Option(help="Requests a minute.", show_default=False)] = None,
    ttl: Annotated[str | None, typer.Option(help="How long it lives: 12h, 30d.", show_default=False)] = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Make a key and print it, this once. It may do no more than the key that it is made with."""
    lives = duration("--ttl", ttl)
    body: dict[str, Any] = {"name": name, "scopes": scope, "app_id": app_id, "rate": rate}
    if lives is not None:
        body["expires"] = time.time() + lives
    made = reach(api, api_key, api_key_file, context).ask("POST", "/keys", body)
    if json:
        print_json(made)
    else:
        print(printable(made["secret"]))


@app.command()
def delete(
    key_id: Annotated[str, typer.Argument(help="Its id.", metavar="KEY_ID", show_default=False)],
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Delete a key, which is good for nothing from now on."""
    reach(api, api_key, api_key_file, context).ask("DELETE", f"/keys/{key_id}")
