"""``sealcast webhooks``: where the backend of an app is told what happens in its channels."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .failure import Failure, Status
from .listing import moment, print_json, print_table
from .output import note, printable
from .quantity import duration

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_dead = typer.Typer(add_completion=False, rich_markup_mode=None)
app.add_typer(_dead, name="dead")

_AppId = Annotated[str, typer.Argument(help="The App ID.", metavar="APP_ID", show_default=False)]
_WebhookId = Annotated[
    str, typer.Argument(help="Its id, as `list` shows it.", metavar="WEBHOOK_ID", show_default=False)
]
_DeliveryId = Annotated[
    str, typer.Argument(help="Its id, as `dead list` shows it.", metavar="DELIVERY_ID", show_default=False)
]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
_Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", help="What it is told, as in member.left; can be given again; by default everything."
    ),
]


@app.callback()
def _webhooks() -> None:
    """Where the backend of an app is told what happens: who joined, who left, which token was refused.

    \b
    Example:  sealcast webhooks create APP_ID https://backend.example/hook --kind member.left
              sealcast webhooks test APP_ID WEBHOOK_ID
    """


@_dead.callback()
def _deads() -> None:
    """Deliveries that were given up."""


@app.command("list")
def list_webhooks(
    app_id: _AppId,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List the webhooks of an app."""
    webhooks = list(reach(api, api_key, api_key_file, context).pages(_path(app_id)))
    if json:
        print_json(webhooks)
        return
    fields = ("webhook_id", "url", "enabled", "waiting", "dead")
    rows = ((*(each[name] for name in fields), " ".join(each["kinds"]) or "all") for each in webhooks)
    print_table(("WEBHOOK ID", "URL", "ENABLED", "WAITING", "DEAD", "KINDS"), rows)


@app.command()
def create(
    app_id: _AppId,
    url: Annotated[str, typer.Argument(help="Where events are posted.", metavar="URL", show_default=False)],
    kind: _Kinds = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Tell it nothing yet.")] = False,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Make a webhook, and print its id and its secret, which is shown this once."""
    body = {"url": url, "kinds": kind or [], "enabled": not disabled}
    made = reach(api, api_key, api_key_file, context).ask("POST", _path(app_id), body)
    _made(made, json)


@app.command()
def show(
    app_id: _AppId,
    webhook_id: _WebhookId,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Show one webhook."""
    _show(reach(api, api_key, api_key_file, context).ask("GET", _path(app_id, webhook_id)), json)


@app.command()
def update(
    app_id: _AppId,
    webhook_id: _WebhookId,
    url: Annotated[str | None, typer.Option(help="Where events are posted.", show_default=False)] = None,
    kind: _Kinds = None,
    all_kinds: Annotated[bool, typer.Option("--all-kinds", help="Tell it everything.")] = False,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it is told.", show_default=False)
    ] = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Change what is given of a webhook."""
    body: dict[str, Any] = {}
    if url is not None:
        body["url"] = url
    if kind or all_kinds:
        body["kinds"] = [] if all_kinds else kind
    if enabled is not None:
        body["enabled"] = enabled
    if not body:
        raise Failure("nothing to change", "--url, --kind, --enable or --disable", Status.USAGE)
    _show(reach(api, api_key, api_key_file, context).ask("PATCH", _path(app_id, webhook_id), body), json)


@app.command()
def rotate(
    app_id: _AppId,
    webhook_id: _WebhookId,
    overlap: Annotated[
        str | None,
        typer.Option(help="How long the old secret signs too; by default 24h.", show_default=False),
    ] = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Make a new secret and print it, this once."""
    lasts = duration("--overlap", overlap)
    body = {} if lasts is None else {"overlap": lasts}
    api_ = reach(api, api_key, api_key_file, context)
    _made(api_.ask("POST", _path(app_id, webhook_id, "rotate"), body), json)


@app.command("test")
def try_webhook(
    app_id: _AppId,
    webhook_id: _WebhookId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Send an event that says nothing, once and now, and say what came of it."""
    path = _path(app_id, webhook_id, "test")
    result = reach(api, api_key, api_key_file, context).ask("POST", path)
    if not result["delivered"]:
        raise Failure(f"not delivered: {printable(result['answer'])}", "another --url, or a look at its log")
    print(f"delivered: {printable(result['answer'])}")


@app.command()
def delete(
    app_id: _AppId,
    webhook_id: _WebhookId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Delete a webhook with all its deliveries."""
    reach(api, api_key, api_key_file, context).ask("DELETE", _path(app_id, webhook_id))


@_dead.command("list")
def list_dead(
    app_id: _AppId,
    webhook_id: _WebhookId,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List what was given up, the newest first."""
    path = _path(app_id, webhook_id, "dead-letters")
    letters = list(reach(api, api_key, api_key_file, context).pages(path))
    if json:
        print_json(letters)
        return
    print_table(
        ("DELIVERY ID", "EVENT", "CHANNEL", "USER", "GIVEN UP", "ANSWER"),
        (
            (
                each["delivery_id"],
                each["event"]["type"],
                each["event"]["data"].get("channel"),
                each["event"]["data"].get("user"),
                moment(each["died"]),
                each["answer"],
            )
            for each in letters
        ),
    )


@_dead.command()
def revive(
    app_id: _AppId,
    webhook_id: _WebhookId,
    delivery_id: Annotated[
        str | None, typer.Argument(help="Its id; by default all.", metavar="DELIVERY_ID", show_default=False)
    ] = None,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Try again what was given up: one delivery, or all of them."""
    parts = ("revive",) if delivery_id is None else ("dead-letters", delivery_id, "revive")
    done = reach(api, api_key, api_key_file, context).ask("POST", _path(app_id, webhook_id, *parts))
    print(done["revived"])


@_dead.command("delete")
def delete_dead(
    app_id: _AppId,
    webhook_id: _WebhookId,
    delivery_id: _DeliveryId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Delete a delivery that was given up."""
    path = _path(app_id, webhook_id, "dead-letters", delivery_id)
    reach(api, api_key, api_key_file, context).ask("DELETE", path)


def _path(app_id: str, *parts: str) -> str:
    return "/".join((f"/apps/{app_id}/webhooks", *parts))


def _made(made: Any, json: bool) -> None:
    if json:
        print_json(made)
        return
    print(f"webhook  {printable(made['webhook']['webhook_id'])}")
    print(f"secret   {printable(made['secret'])}")
    note("the secret is not shown again")


def _show(webhook: Any, json: bool) -> None:
    if json:
        print_json(webhook)
        return
    for name, value in webhook.items():
        shown = " ".join(value) or "all" if isinstance(value, list) else value
        if name in ("created", "updated", "old_secret_until"):
            shown = moment(value)
        print(f"{name:<17} {printable(str(shown))}")
