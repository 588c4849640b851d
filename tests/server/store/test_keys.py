"""API keys, accounts and answered requests, on every database."""

from __future__ import annotations

from typing import Any

import pytest

from sealcast.server.store.records import DAY, Answer, Missing, Taken
from sealcast.server.store.store import Store

APP = "0123456789abcdef0123456789abcdef"
DIGEST = bytes(range(32))


async def test_a_key_is_read_back_used_and_forgotten(store: Store, time: Any) -> None:
    key = await store.keys.create(
        "k1", DIGEST, name="deploy", scopes=["apps:read"], rate=60, expires=time.now + 5
    )
    assert (key.scopes, key.digest, key.app_id, key.rate) == (("apps:read",), DIGEST, None, 60)
    assert (key.created, key.expires, key.last_used) == (time.now, time.now + 5, None)
    assert await store.keys.get("k1") == key
    time.now += 3
    await store.keys.used("k1")
    assert (await store.keys.get("k1")).last_used == time.now
    await store.keys.delete("k1")
    for asked in (store.keys.get("k1"), store.keys.delete("k1")):
        with pytest.raises(Missing, match="no such key"):
            await asked


async def test_a_key_for_one_app_needs_the_app_and_goes_with_it(store: Store) -> None:
    with pytest.raises(Missing, match="no such app"):
        await store.keys.create("k1", DIGEST, name="", scopes=[], app_id=APP)
    await store.apps.create(APP, "a" * 32, name="", enabled=False, settings={})
    await store.keys.create("k1", DIGEST, name="", scopes=[], app_id=APP)
    await store.keys.create("k2", DIGEST, name="", scopes=[])
    assert [key.key_id for key in await store.keys.page(only=APP)] == ["k1"]
    await store.apps.delete(APP)
    assert [key.key_id for key in await store.keys.page()] == ["k2"]


async def test_an_id_of_a_key_is_there_once(store: Store) -> None:
    await store.keys.create("k1", DIGEST, name="", scopes=[])
    with pytest.raises(Taken):
        await store.keys.create("k1", DIGEST, name="", scopes=[])
    assert DIGEST.hex() not in repr(await store.keys.get("k1"))


async def test_an_account_is_found_by_its_e_mail_however_it_is_written(store: Store) -> None:
    assert await store.accounts.count() == 0
    account = await store.accounts.create("Ada@Example.org", "hash", "operator")
    assert account.email == "ada@example.org"
    assert await store.accounts.by_email("ADA@example.org") == account
    assert await store.accounts.by_email("bob@example.org") is None
    with pytest.raises(Taken):
        await store.accounts.create("ada@example.ORG", "hash")
    assert await store.accounts.count() == 1
    assert await store.accounts.page() == [account]
    assert await store.accounts.page(after=account.email) == []


async def test_an_account_is_changed_and_deleted(store: Store) -> None:
    account = await store.accounts.create("ada@example.org", "hash")
    assert account.role == "admin"
    changed = await store.accounts.update(
        account.account_id, password_hash="new", role="viewer", disabled=True
    )
    assert (changed.password_hash, changed.role, changed.disabled) == ("new", "viewer", True)
    assert await store.accounts.get(account.account_id) == changed
    assert "new" not in repr(changed)
    await store.accounts.delete(account.account_id)
    for asked in (
        store.accounts.get(account.account_id),
        store.accounts.update(account.account_id),
        store.accounts.delete(account.account_id),
    ):
        with pytest.raises(Missing, match="no such account"):
            await asked


async def test_a_request_is_begun_once_and_its_answer_kept_for_a_day(store: Store, time: Any) -> None:
    began = time.now
    assert await store.answers.begin("me", "key", b"print") is None
    assert await store.answers.begin("me", "key", b"other") == Answer(b"print", None, None, began)
    assert await store.answers.begin("you", "key", b"print") is None, "keys belong to their caller"
    await store.answers.finish("me", "key", 201, b"body")
    time.now += DAY - 1
    assert await store.answers.begin("me", "key", b"print") == Answer(b"print", 201, b"body", began)
    time.now += 2
    assert await store.answers.begin("me", "key", b"print") is None


async def test_a_request_that_changed_nothing_can_be_made_again(store: Store) -> None:
    assert await store.answers.begin("me", "key", b"print") is None
    await store.answers.forget("me", "key")
    assert await store.answers.begin("me", "key", b"print") is None
