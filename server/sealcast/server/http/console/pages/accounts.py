"""The accounts of the console: the own one for everybody, all of them for admins."""

from __future__ import annotations

from typing import Final, get_args

from starlette.responses import Response

from ....passwords import PASSWORD_LEAST, refusal_of_email, refusal_of_password
from ....store.records import Role
from ...errors import ApiError
from ..visit import ADMIN, SIGNED_IN, PageRoute, Section, Visit

__all__ = ["SECTION"]

_IN_PAGE: Final = 200
_ROLES: Final[tuple[Role, ...]] = get_args(Role)


async def _list(visit: Visit) -> Response:
    after = visit.asked("after")[:254]
    found = await visit.services.kept.accounts.page(after, _IN_PAGE + 1)
    more = found[_IN_PAGE - 1].email if len(found) > _IN_PAGE else ""
    return visit.page(
        "accounts.html", accounts=found[:_IN_PAGE], more=more, roles=_ROLES, least=PASSWORD_LEAST
    )


async def _add(visit: Visit) -> Response:
    email, password, role = visit.field("email"), visit.form.get("password", ""), visit.field("role")
    problems = [refusal_of_email(email), refusal_of_password(password)]
    if found := [problem for problem in problems if problem]:
        raise ApiError("invalid", problems=found)
    hashed = await visit.console.passwords.hash(password)
    async with visit.services.unit():
        record = await visit.services.kept.accounts.create(email, hashed, _role(role))
        await _audit(visit, "account.created", record.email, role=record.role)
    return visit.back("/accounts", f"{record.email} may sign in as {record.role}.")


async def _change(visit: Visit) -> Response:
    """Give an account another role."""
    account_id = _other(visit)
    record = await visit.services.kept.accounts.update(account_id, role=_role(visit.field("role")))
    visit.console.sessions.end_all(account_id)
    await _audit(visit, "account.changed", record.email, role=record.role)
    return visit.back("/accounts", f"{record.email} is {record.role} from the next sign-in on.")


async def _disable(visit: Visit) -> Response:
    account_id = _other(visit)
    record = await visit.services.kept.accounts.update(account_id, disabled=True)
    visit.console.sessions.end_all(account_id)
    await _audit(visit, "account.disabled", record.email)
    return visit.back("/accounts", f"{record.email} is signed out everywhere, and cannot sign in.")


async def _enable(visit: Visit) -> Response:
    record = await visit.services.kept.accounts.update(_other(visit), disabled=False)
    await _audit(visit, "account.enabled", record.email)
    return visit.back("/accounts", f"{record.email} may sign in again.")


async def _own(visit: Visit) -> Response:
    return visit.page("account.html", least=PASSWORD_LEAST)


async def _password(visit: Visit) -> Response:
    """Change the own password, which ends all other sessions."""
    account = visit.account
    accounts = visit.services.kept.accounts
    if not account.account_id:
        raise ApiError("invalid", "a one-time sign-in has no password")
    now = visit.services.clock.monotonic()
    if wait := visit.console.by_account.take(account.name, now):
        raise ApiError("rate_limited", "too many tries", retry_after=wait)
    record = await accounts.get(account.account_id)
    if not await visit.console.passwords.good(record.password_hash, visit.form.get("password", "")):
        raise ApiError("invalid", "that is not your password")
    new = visit.form.get("new", "")
    if new != visit.form.get("again", ""):
        raise ApiError("invalid", "the new passwords are not the same")
    if problem := refusal_of_password(new):
        raise ApiError("invalid", problem)
    hashed = await visit.console.passwords.hash(new)
    async with visit.services.unit():
        await accounts.update(account.account_id, password_hash=hashed)
        await _audit(visit, "account.password_changed", record.email)
    account.proof = hashed
    visit.console.sessions.end_all(account.account_id, but=account)
    return visit.back("/account", "The password is changed, and all your other sessions are over.")


def _other(visit: Visit) -> str:
    """Return whose account it is about. Raises ApiError for the own one: nobody locks themselves out."""
    account_id: str = visit.request.path_params["account_id"]
    if account_id == visit.account.account_id:
        raise ApiError("invalid", "this is your own account; another admin can do that")
    return account_id


def _role(text: str) -> Role:
    for role in _ROLES:
        if role == text:
            return role
    raise ApiError("invalid", problems=[f"role: one of {', '.join(_ROLES)}"])


async def _audit(visit: Visit, action: str, email: str, **detail: str) -> None:
    caller = visit.caller
    await visit.services.audit(caller.actor, action, f"account {email}", detail, address=caller.address)


_ONE: Final = "/accounts/{account_id}"
_BACK: Final = "/accounts"

SECTION: Final = Section(
    "Accounts",
    "/accounts",
    ADMIN,
    (
        PageRoute("/accounts", _list, ADMIN),
        PageRoute("/accounts", _add, ADMIN, "POST", back=_BACK, whole=False),
        PageRoute(f"{_ONE}/role", _change, ADMIN, "POST", back=_BACK),
        PageRoute(
            f"{_ONE}/disable",
            _disable,
            ADMIN,
            "POST",
            ask="This account is signed out everywhere at once, and cannot sign in.",
            back=_BACK,
        ),
        PageRoute(f"{_ONE}/enable", _enable, ADMIN, "POST", back=_BACK),
        PageRoute("/account", _own, SIGNED_IN),
        PageRoute("/account/password", _password, SIGNED_IN, "POST", back="/account", whole=False),
    ),
)
