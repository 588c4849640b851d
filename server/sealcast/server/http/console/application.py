"""The pages as one ASGI application, and what they share."""

from __future__ import annotations

import functools
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...passwords import Passwords
from ...store.records import Missing, Role, StoreDown
from ..errors import of_status
from ..services import Services
from ..throttle import Throttle
from .gate import CookieJar, PageGate
from .onetime import OneTime
from .pages import SECTIONS
from .rendering import Rendering
from .sessions import Sessions, SignedIn
from .visit import Section, Visit
from .watching import Watches

__all__ = ["Console"]

_LOOK_EVERY: Final = 5.0
"""Seconds between two looks at whether an account is still good."""
_TRIES_OF_ADDRESS: Final = 20
_TRIES_OF_ACCOUNT: Final = 10
"""Sign-ins a minute."""


class Console:
    """What the pages share.

    Args:
        services: the relay.

    """

    def __init__(self, services: Services) -> None:
        self.services = services
        self.sections: tuple[Section, ...] = SECTIONS
        self.sessions = Sessions()
        self.one_time = OneTime()
        self.passwords = Passwords()
        self.rendering = Rendering.shared()
        self.watches = Watches(services.hub, services.clock)
        self.by_address = Throttle(_TRIES_OF_ADDRESS)
        self.by_account = Throttle(_TRIES_OF_ACCOUNT)

    def start(self) -> None:
        """Begin to collect figures."""
        self.watches.start()

    def stop(self) -> None:
        """Collect no more."""
        self.watches.stop()

    def sign_in_path(self, role: Role) -> str:
        """Make a sign-in without an account, good once and for minutes; return the path of its page."""
        code = self.one_time.make(role, self.services.clock.monotonic())
        return f"/console/once#{code}"

    async def recognize(self, session_id: str, *, touch: bool) -> SignedIn | None:
        """Return the session that a browser is in. One whose account is not what it was is over."""
        if not session_id:
            return None
        now = self.services.clock.monotonic()
        session = self.sessions.find(session_id, now, touch=touch)
        store = self.services.store
        if session is None or not session.account_id or store is None or now < session.checked + _LOOK_EVERY:
            return session
        try:
            record = await store.accounts.get(session.account_id)
        except Missing:
            record = None
        except StoreDown:  # who is looking goes on looking; nothing can be changed meanwhile
            return session
        if record is None or record.disabled or record.password_hash != session.proof:
            self.sessions.end(session_id)
            return None
        session.checked, session.role = now, record.role
        return session

    def asgi(self) -> Starlette:
        """Return the application; it stands at ``/console``."""
        gate = PageGate(self)
        routes = [
            Route(page.path, functools.partial(gate.serve, section, page), methods=[page.method])
            for section in self.sections
            for page in section.routes
        ]
        routes.append(Route("/static/{name}", self.rendering.static))
        return Starlette(routes=routes, exception_handlers={HTTPException: self._refused})

    async def _refused(self, request: Request, error: Exception) -> Response:
        """Answer what no page is there for."""
        assert isinstance(error, HTTPException)
        refusal = of_status(error)
        jar = CookieJar(request)
        session = await self.recognize(jar.session, touch=False)
        visit = Visit(self, request, jar.session if session else jar.guest, session)
        response = visit.page(
            "refused.html",
            status=refusal.problem.status,
            title="Not found" if refusal.problem.status == 404 else "Not done",
            text=refusal.detail,
            hint="",
        )
        response.headers.update(error.headers or {})
        return response
