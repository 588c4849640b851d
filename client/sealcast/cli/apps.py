"""``sealcast apps``: the apps of a relay, while it runs."""

from __future__ import annotations

import json as decoder
import re
from typing import Annotated, Any, Final

import typer

from sealcast.protocol.quantities import seconds, size

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .failure import Failure, Status
from .listing import moment, print_json, print_table
from .output import printable

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_certificates = typer.Typer(add_completion=False, rich_markup_mode=None)
app.add_typer(_certificates, name="certificates")

_AppId = Annotated[str, typer.Argument(help="The App ID.", metavar="APP_ID", show_default=False)]
_CertificateId = Annotated[
    str,
    typer.Argument(
        help="Its id, as `certificates list` shows it.", metavar="CERTIFICATE_ID", show_default=False
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
_Name = Annotated[str | None, typer.Option(help="What people call it.", show_default=False)]
_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="An option, as in limits.members=200; can be given again.", metavar="OPTION=VALUE"
    ),
]

_QUANTITY: Final = re.compile(r"[0-9.]+ ?[a-zA-Z][a-zA-Z0-9.]*")
_SECTIONS: Final = ("policy", "limits", "rates", "history", "presence", "channels")


@app.callback()
def _apps() -> None:
    """The apps of a relay, while it runs: what is changed holds at once.

    \b
    Example:  sealcast apps create --name Teams --set limits.members=200
              sealcast apps disable 0123456789abcdef0123456789abcdef
    """


@app.command("list")
def list_apps(
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List the apps."""
    apps = list(reach(api, api_key, api_key_file, context).pages("/apps"))
    if json:
        print_json(apps)
        return
    columns = ("APP ID", "NAME", "ENABLED", "FROM", "CONNECTIONS", "CHANNELS")
    fields = ("app_id", "name", "enabled", "origin", "connections", "open_channels")
    print_table(columns, ([each[field] for field in fields] for each in apps))


@app.command()
def create(
    name: _Name = None,
    app_id: Annotated[
        str | None, typer.Option(help="The App ID; by default made up.", show_default=False)
    ] = None,
    options: _Set = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Make an app, and print its App ID and its certificate, which is shown this once."""
    body = {**_tree(options), "name": name or ""}
    if app_id is not None:
        body["app_id"] = app_id
    made = reach(api, api_key, api_key_file, context).ask("POST", "/apps", body)
    if json:
        print_json(made)
        return
    print(f"App ID       {printable(made['app']['app_id'])}")
    print(f"certificate  {printable(made['secret'])}")


@app.command()
def show(
    app_id: _AppId,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Show one app with all its options."""
    _show(reach(api, api_key, api_key_file, context).ask("GET", f"/apps/{app_id}"), json)


@app.command()
def update(
    app_id: _AppId,
    name: _Name = None,
    options: _Set = None,
    reset: Annotated[
        list[str] | None,
        typer.Option(help="A section that gets its defaults back, as in limits.", metavar="SECTION"),
    ] = None,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Change an app: its name, and the options that are given; the others stay."""
    body: dict[str, Any] = dict.fromkeys(reset or ())
    for section, value in _tree(options).items():
        if section in body:
            raise Failure(f"--set and --reset both name {section}", "one after the other", Status.USAGE)
        body[section] = value
    if name is not None:
        body["name"] = name
    if not body:
        raise Failure("nothing to change", "--name, --set or --reset", Status.USAGE)
    _show(reach(api, api_key, api_key_file, context).ask("PATCH", f"/apps/{app_id}", body), json)


@app.command()
def disable(
    app_id: _AppId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Disable an app: everybody in it is put out at once, and nobody comes in."""
    reach(api, api_key, api_key_file, context).ask("POST", f"/apps/{app_id}/disable")


@app.command()
def enable(
    app_id: _AppId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Enable an app again."""
    reach(api, api_key, api_key_file, context).ask("POST", f"/apps/{app_id}/enable")


@app.command()
def delete(
    app_id: _AppId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Delete an app that is disabled, with its certificates and the API keys for it alone."""
    reach(api, api_key, api_key_file, context).ask("DELETE", f"/apps/{app_id}")


# --- certificates ---


@_certificates.callback()
def _of_an_app() -> None:
    """The certificates of an app. To change the certificate: add, swap, disable the old one, delete it."""


@_certificates.command("list")
def list_certificates(
    app_id: _AppId,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List the certificates of an app, without themselves."""
    found = reach(api, api_key, api_key_file, context).ask("GET", f"/apps/{app_id}/certificates")
    if json:
        print_json(found)
        return
    columns = ("CERTIFICATE ID", "ROLE", "ENABLED", "ENDS WITH", "CREATED")
    fields = ("certificate_id", "role", "enabled", "ends_with")
    print_table(columns, ([*(each[field] for field in fields), moment(each["created"])] for each in found))


@_certificates.command()
def add(
    app_id: _AppId,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Add a secondary certificate and print it, this once; tokens from either are good from now on."""
    made = reach(api, api_key, api_key_file, context).ask("POST", f"/apps/{app_id}/certificates")
    if json:
        print_json(made)
    else:
        print(printable(made["secret"]))


@_certificates.command()
def swap(
    app_id: _AppId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Make the secondary certificate the primary one, and the other way round."""
    reach(api, api_key, api_key_file, context).ask("POST", f"/apps/{app_id}/certificates/swap")


@_certificates.command("disable")
def disable_certificate(
    app_id: _AppId,
    certificate_id: _CertificateId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Disable the secondary certificate: its tokens are refused when somebody joins or renews."""
    path = f"/apps/{app_id}/certificates/{certificate_id}/disable"
    reach(api, api_key, api_key_file, context).ask("POST", path)


@_certificates.command("enable")
def enable_certificate(
    app_id: _AppId,
    certificate_id: _CertificateId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Enable the secondary certificate again."""
    path = f"/apps/{app_id}/certificates/{certificate_id}/enable"
    reach(api, api_key, api_key_file, context).ask("POST", path)


@_certificates.command("delete")
def delete_certificate(
    app_id: _AppId,
    certificate_id: _CertificateId,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Delete the secondary certificate, which must be disabled."""
    path = f"/apps/{app_id}/certificates/{certificate_id}"
    reach(api, api_key, api_key_file, context).ask("DELETE", path)


# --- options ---


def _tree(options: list[str] | None) -> dict[str, Any]:
    """Return ``["limits.members=200"]`` as the API takes it. Raises Failure."""
    tree: dict[str, Any] = {}
    for option in options or ():
        name, equals, text = option.partition("=")
        section, _, rest = name.strip().partition(".")
        if not equals or section not in _SECTIONS or bool(rest) is (section == "channels"):
            raise Failure(
                "--set is not an option and a value",
                'limits.members=200, or \'channels=[{"pattern": "a*"}]\'',
                Status.USAGE,
            )
        if rest:
            tree.setdefault(section, {})[rest] = _value(text.strip())
        else:
            tree[section] = _value(text.strip())
    return tree


def _value(text: str) -> Any:
    """Return what a value means: JSON, a duration such as 30s, a size such as 64KiB, or the text."""
    try:
        return decoder.loads(text)
    except ValueError:
        pass
    if _QUANTITY.fullmatch(text):
        for read in (seconds, size):
            try:
                return read(text)
            except ValueError:
                continue
    return text


def _show(found: dict[str, Any], json: bool) -> None:
    if json:
        print_json(found)
        return
    for field in ("app_id", "name", "enabled", "origin", "connections", "open_channels"):
        shown = found[field]
        print(f"{field} = {printable(decoder.dumps(shown, ensure_ascii=False))}")
    for section in _SECTIONS[:-1]:
        print()
        for name, value in found[section].items():
            print(f"{section}.{name} = {printable(decoder.dumps(value, ensure_ascii=False))}")
    if found["channels"]:
        print(f"\nchannels = {printable(decoder.dumps(found['channels'], ensure_ascii=False))}")
