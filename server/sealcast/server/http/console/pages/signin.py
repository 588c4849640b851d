"""Signing in and out: by e-mail and password, or once by a code."""

from __future__ import annotations

import ipaddress
from typing import Final

from starlette.responses import RedirectResponse, Response

from ....logs import logger
from ....store.records import AccountRecord, Role
from ...errors import ApiError
from ..gate import CookieJar
from ..onetime import CODE_LIFE
from ..sessions import Said
from ..visit import ANYBODY, SIGNED_IN, PageRoute, Section, Visit

__all__ = ["SECTION"]

_WRONG: Final = Said("There is no such account, or that is not its password.", error=True)
_USED: Final = Said("That code is not good: it was used already, or it is too old.", error=True)
_NO_ACCOUNTS: Final = Said("This relay has no database, and so no accounts.", error=True)
_ONCE: Final = "one-time sign-in"


async def _page(visit: Visit) -> Response:
    if visit.session is not None:
        return RedirectResponse("/console/", 303)
    return _form(visit)


def _form(visit: Visit, said: Said | None = None, status: int = 200, email: str = "") -> Response:
    return visit.page(
        "signin.html", status=status, said=said, email=email, accounts=visit.services.store is not None
    )


async def _sign_in(visit: Visit) -> Response:
    email, password = visit.field("email").lower()[:254], visit.form.get("password", "")
    store = visit.services.store
    if store is None:
        return _form(visit, _NO_ACCOUNTS, 409)
    _throttled(visit, email)
    record = await store.accounts.by_email(email)
    known = record if record is not None and not record.disabled else None
    good = await visit.console.passwords.good(None if known is None else known.password_hash, password)
    if known is None or not good:
        # The e-mail only where it is known: people type passwords into the wrong field.
        account = None if record is None else record.email
        logger.warning("a sign-in was refused", account=account, address=visit.address)
        return _form(visit, _WRONG, 403, email)
    proof = await _renewed(visit, known, password)
    return await _begin(visit, known.account_id, known.email, known.role, proof)


async def _renewed(visit: Visit, record: AccountRecord, password: str) -> str:
    """Return the hash that is kept; one with the parameters of former days is made anew."""
    if not visit.console.passwords.stale(record.password_hash):
        return record.password_hash
    hashed = await visit.console.passwords.hash(password)
    await visit.services.kept.accounts.update(record.account_id, password_hash=hashed)
    return hashed


async def _once_page(visit: Visit) -> Response:
    return visit.page("once.html", minutes=round(CODE_LIFE / 60))


async def _once(visit: Visit) -> Response:
    _throttled(visit, "")
    role = visit.console.one_time.take(visit.field("code"), visit.services.clock.monotonic())
    if role is None:
        logger.warning("a one-time sign-in was refused", address=visit.address)
        return visit.page("once.html", status=403, said=_USED, minutes=round(CODE_LIFE / 60))
    return await _begin(visit, "", _ONCE, role, "")


async def _begin(visit: Visit, account_id: str, name: str, role: Role, proof: str) -> Response:
    """Begin a session, always with a new id, and end the one that this browser was in."""
    jar = CookieJar(visit.request)
    visit.console.sessions.end(jar.session)
    now = visit.services.clock.monotonic()
    session_id = visit.console.sessions.begin(account_id, name, role, proof, now)
    await visit.services.audit(
        f"account {name}", "account.signed_in", f"account {name}", {"role": role}, address=visit.address
    )
    response = RedirectResponse("/console/", 303)
    jar.sign_in(response, session_id)
    return response


async def _sign_out(visit: Visit) -> Response:
    jar = CookieJar(visit.request)
    visit.console.sessions.end(jar.session)
    return _out(jar)


async def _sign_out_everywhere(visit: Visit) -> Response:
    jar = CookieJar(visit.request)
    visit.console.sessions.end(jar.session)
    if account_id := visit.account.account_id:
        visit.console.sessions.end_all(account_id)
    return _out(jar)


def _out(jar: CookieJar) -> Response:
    response = RedirectResponse("/console/signin", 303)
    jar.sign_out(response)
    return response


def _throttled(visit: Visit, email: str) -> None:
    """Count one try. Raises ApiError where there were too many."""
    now = visit.services.clock.monotonic()
    wait = visit.console.by_address.take(_network(visit.address), now)
    if not wait and email:
        wait = visit.console.by_account.take(email, now)
    if wait:
        raise ApiError("rate_limited", "too many tries; wait a little", hint="", retry_after=wait)


def _network(address: str) -> str:
    """Return whom an address stands for: of IPv6 a network of 64 bits is one peer."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


SECTION: Final = Section(
    "",
    "/signin",
    ANYBODY,
    (
        PageRoute("/signin", _page, ANYBODY),
        PageRoute("/signin", _sign_in, ANYBODY, "POST", back="/signin", whole=False),
        PageRoute("/once", _once_page, ANYBODY),
        PageRoute("/once", _once, ANYBODY, "POST", back="/once"),
        PageRoute("/signout", _sign_out, SIGNED_IN, "POST"),
        PageRoute("/signout/everywhere", _sign_out_everywhere, SIGNED_IN, "POST"),
    ),
)
