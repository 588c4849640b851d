"""Passwords: argon2id, never kept themselves, and compared without telling which accounts there are."""

from __future__ import annotations

import pytest

from sealcast.server.passwords import PASSWORD_MOST, Passwords, refusal_of_password

GOOD = "correct horse battery staple"


async def test_a_hash_is_of_its_password_and_of_no_other() -> None:
    passwords = Passwords()
    kept, other = await passwords.hash(GOOD), await passwords.hash(GOOD)
    assert kept.startswith("$argon2id$")
    assert kept != other, "salted"
    assert GOOD not in kept
    assert await passwords.good(kept, GOOD)
    assert not await passwords.good(kept, GOOD + "r")
    assert not passwords.stale(kept)
    assert passwords.stale("$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA")


async def test_without_an_account_no_password_is_good_not_even_the_one_compared_with() -> None:
    passwords = Passwords()
    for text in ("nobody", "", GOOD):
        assert not await passwords.good(None, text)


async def test_what_is_no_hash_is_of_no_password() -> None:
    passwords = Passwords()
    assert not await passwords.good("nonsense", GOOD)
    assert not await passwords.good(await passwords.hash(GOOD), "x" * (PASSWORD_MOST + 1))


@pytest.mark.parametrize(
    ("text", "good"), [("x" * 11, False), ("x" * 12, True), ("x" * 256, True), ("x" * 257, False)]
)
def test_a_new_password_has_a_length(text: str, good: bool) -> None:
    assert (refusal_of_password(text) is None) is good
