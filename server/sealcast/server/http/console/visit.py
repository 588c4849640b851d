"""What a page is given, how it answers, and how it is declared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sealcast.protocol.version import __version__

from ...store.records import Role
from ..api_keys import SCOPES, Caller
from ..paging import PageAsked, place_of
from ..services import Services
from .sessions import Said, SignedIn

if TYPE_CHECKING:
    from .application import Console

__all__ = [
    "ADMIN",
    "ANYBODY",
    "IN_PAGE",
    "SIGNED_IN",
    "Handler",
    "PageRoute",
    "Section",
    "Visit",
    "scopes_of",
]

ANYBODY: Final = "anybody"
SIGNED_IN: Final = "signed in"
ADMIN: Final = "admin"
"""What a page may need, beside the name of a scope."""

IN_PAGE: Final = 50
"""Rows of a list, unless it says otherwise."""

_CURSOR_MAX: Final = 512
_ABOUT_KEYS: Final = "keys:write"
_VIEWER: Final = frozenset(scope for scope in SCOPES if scope.endswith(":read"))


def scopes_of(role: Role) -> frozenset[str]:
    """Return what an account may do, in the scopes of the API."""
    if role == "admin":
        return frozenset(SCOPES)
    return _VIEWER if role == "viewer" else frozenset(SCOPES) - {_ABOUT_KEYS}


@dataclass(slots=True)
class Visit:
    """One request for a page, which may be answered."""

    console: Console
    request: Request
    cookie: str
    """Whose forms these are."""
    session: SignedIn | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    section: Section | None = None

    @property
    def services(self) -> Services:
        """The relay."""
        return self.console.services

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return self.request.client.host if self.request.client else ""

    @property
    def account(self) -> SignedIn:
        """Who asks; only where a page needs somebody."""
        assert self.session is not None, "judged before"
        return self.session

    @property
    def caller(self) -> Caller:
        """Who asks, as the API's functions want to know it."""
        account = self.account
        return Caller(f"account {account.name}", self.address, scopes_of(account.role), None, None)

    def may(self, needs: str) -> bool:
        """Say whether the visitor may see or do what needs this."""
        if needs == ANYBODY:
            return True
        if self.session is None:
            return False
        if needs == ADMIN:
            return self.session.role == "admin"
        return needs == SIGNED_IN or needs in scopes_of(self.session.role)

    def asked(self, name: str) -> str:
        """Return a part of the query, empty when it is not there."""
        return self.request.query_params.get(name, "")

    def within(self, name: str) -> str:
        """Return a part of the path."""
        found: str = self.request.path_params[name]
        return found

    def paged(self, most: int = IN_PAGE) -> PageAsked:
        """Return which page of a list is asked for. Raises ApiError."""
        return PageAsked(most, place_of(self.asked("cursor")[:_CURSOR_MAX]))

    def further(self, cursor: str | None) -> str:
        """Return where the next page of this list is, with what was asked for; empty on the last one."""
        if cursor is None:
            return ""
        asked = {name: text for name, text in self.request.query_params.items() if text and name != "cursor"}
        return f"{self.request.url.path}?{urlencode({**asked, 'cursor': cursor})}"

    def field(self, name: str) -> str:
        """Return a field of the form without blanks around it, empty when it is not there."""
        return self.form.get(name, "").strip()

    def page(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Return a page, with what is to be told."""
        said = context.pop("said", None) or (self.session.take_said() if self.session else None)
        return self.console.rendering.page(
            template,
            status,
            account=self.session,
            csrf_field=self._csrf_field,
            may=self.may,
            navigation=self._navigation(),
            node=self.services.config.server.node,
            said=said,
            section=self.section,
            version=__version__,
            **context,
        )

    def back(self, path: str, text: str = "", *, error: bool = False, secret: str = "") -> Response:
        """Send the visitor to a page of the console, which tells this."""
        if self.session is not None and text:
            self.session.said = Said(text, error, secret)
        return RedirectResponse(f"/console{path}", 303)

    def _csrf_field(self) -> Markup:
        token = self.console.sessions.csrf(self.cookie)
        return Markup('<input type="hidden" name="csrf" value="{}">').format(token)

    def _navigation(self) -> list[Section]:
        if self.session is None:
            return []
        return [section for section in self.console.sections if section.title and self.may(section.needs)]


Handler = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class PageRoute:
    """One page, or one thing that a form does."""

    path: str
    """Below ``/console``."""
    handler: Handler
    needs: str
    """A scope of the API, ``ADMIN``, ``SIGNED_IN`` or ``ANYBODY``."""
    method: Literal["GET", "POST"] = "GET"
    ask: str = ""
    """A question that has to be answered with yes first."""
    back: str = "/"
    """Where the form is, for what cannot be done; with the path's parameters."""
    whole: bool = True
    """All that a form changes in the database, and its audit entry, is kept together or not at all; not where
    the page waits for something meanwhile: it then takes care of that itself."""
    live: bool = False
    """Loads by itself: answered in JSON, and no sign that somebody is there."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the console: some pages, and where they stand in the navigation."""

    title: str
    """In the navigation; empty for none."""
    path: str
    needs: str
    """Who has it in the navigation."""
    routes: tuple[PageRoute, ...]
