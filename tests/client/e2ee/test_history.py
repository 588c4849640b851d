"""Kept messages: what is proven about them, what is refused, and that the present is not touched."""

from __future__ import annotations

import pytest

from sealcast.client.e2ee import ChannelCrypto, Key
from sealcast.client.e2ee.authors import Authors
from sealcast.client.e2ee.history import HistoryReader, Kept, Reopened
from sealcast.client.e2ee.protection import Protection
from sealcast.client.failures import reason_of
from sealcast.protocol.descriptor import SIGNED, Descriptor
from sealcast.protocol.names import Kind

from .conftest import APP, AUDIO, MESSAGE, SECRET

CLEAR_MESSAGE = Descriptor(Kind.MESSAGE, stream=1, version=2)


def told(page: list[Reopened]) -> list[bytes | str]:
    """What each message says, or why it does not."""
    return [
        one.opened.payload if one.opened is not None else reason_of(one.error or KeyError) for one in page
    ]


def read(reader: ChannelCrypto, *messages: Kept, authors, epoch: str = "e") -> list[bytes | str]:
    return told(list(reader.reopen(epoch, messages, authors)))


@pytest.fixture
def past(bind):
    """Bob, who reads; Alice and Carol as authors; and what Alice has said, at offsets 1 to 3."""
    alice, bob = bind("alice"), bind("bob")
    said = [Kept(n, 1, alice.seal(MESSAGE, b"%d" % n)) for n in (1, 2, 3)]
    return alice, bob, said, [(1, "alice", alice.hello)]


def test_a_page_is_opened_and_attributed(past):
    _, bob, said, authors = past
    page = list(bob.reopen("e", said, authors))
    assert told(page) == [b"1", b"2", b"3"]
    assert {(one.member, one.user) for one in page} == {(1, "alice")}
    assert [one.offset for one in page] == [1, 2, 3]


def test_pages_may_be_read_in_any_order_and_again(past):
    _, bob, said, authors = past
    assert read(bob, said[2], authors=authors) == [b"3"]
    assert read(bob, *said[:2], authors=authors) == [b"1", b"2"]
    assert read(bob, *said, authors=authors) == [b"1", b"2", b"3"]


def test_own_messages_of_this_session_open_too(bind):
    bob = bind("bob")
    said = Kept(1, 4, bob.seal(MESSAGE, b"mine"))
    assert read(bob, said, authors=[(4, "bob", bob.hello)]) == [b"mine"]


def test_with_managed_keys_own_messages_and_those_under_keys_that_are_held_open(room):
    alice, bob = room.join("alice", room.managed("alice")), room.join("bob", room.managed("bob"))
    said = [Kept(1, 1, room.send(alice, b"hers", MESSAGE)), Kept(2, 2, room.send(bob, b"his", MESSAGE))]
    authors = [(1, "alice", alice.crypto.hello), (2, "bob", bob.crypto.hello)]
    assert read(bob.crypto, *said, authors=authors) == [b"hers", b"his"]


def test_with_managed_keys_who_comes_later_reads_nothing_of_before(room):
    alice = room.join("alice", room.managed("alice"))
    room.join("bob", room.managed("bob"))
    said = Kept(1, 1, room.send(alice, b"before", MESSAGE))
    room.wait(1.0)
    carol = room.join("carol", room.managed("carol"))
    room.wait(1.0)
    room.send(alice, b"now", MESSAGE)
    authors = [(1, "alice", alice.crypto.hello)]
    assert read(carol.crypto, said, authors=authors) == ["key_missing"]


def test_an_epoch_opens_as_long_as_its_secret_is_kept_also_when_the_sender_has_moved_on(room):
    key = Key.raw(SECRET)
    alice, bob = room.join("alice", key), room.join("bob", key)
    old = Kept(1, 1, room.send(alice, b"old", MESSAGE))
    for seat in (alice, bob):
        seat.crypto.rotate(b"r" * 32, room.now)
    room.send(alice, b"new", MESSAGE)
    room.wait(20.0)
    bob.refused.clear()
    room.hand(bob, alice.number, alice.crypto.seal(AUDIO, b"still live"))
    assert not bob.refused
    assert read(bob.crypto, old, authors=[(1, "alice", alice.crypto.hello)]) == [b"old"]


def test_a_secret_that_is_not_here_opens_nothing(bind):
    alice, bob = bind("alice", epoch=3, secret=b"3" * 32), bind("bob")
    assert read(bob, Kept(1, 1, alice.seal(MESSAGE, b"x")), authors=[(1, "alice", alice.hello)]) == [
        "key_missing"
    ]


# --- attacks ---


def test_a_message_that_is_shown_at_two_places_is_refused_at_the_second(past):
    _, bob, said, authors = past
    assert read(bob, *said, authors=authors) == [b"1", b"2", b"3"]
    assert read(bob, said[0]._replace(offset=9), authors=authors) == ["replayed"]
    assert read(bob, said[0], authors=authors, epoch="f") == ["replayed"]
    assert read(bob, said[0], said[0]._replace(offset=2), authors=authors) == [b"1", "replayed"]


def test_a_senders_messages_stand_on_a_page_in_the_order_in_which_it_sealed_them(past):
    _, bob, said, authors = past
    swapped = [said[1]._replace(offset=1), said[0]._replace(offset=2)]
    assert read(bob, *swapped, authors=authors) == [b"2", "replayed"]


def test_an_altered_message_is_refused(past):
    _, bob, said, authors = past
    data = said[0].data
    for at in range(len(data)):
        changed = said[0]._replace(data=data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        [reason] = read(bob, changed, authors=authors)
        assert reason in {"open_failed", "key_missing", "unsigned", "clear_text_refused"}
    assert read(bob, said[0], authors=authors) == [b"1"]


def test_a_cut_message_is_refused(past):
    _, bob, said, authors = past
    for size in range(len(said[0].data)):
        cut = said[0]._replace(data=said[0].data[:size])
        [reason] = read(bob, cut, authors=authors)
        assert reason in {"open_failed", "unsigned"}


def test_a_message_under_another_authors_name_is_refused(past, bind):
    alice, bob, said, _ = past
    carol = bind("carol")
    assert read(bob, said[0], authors=[(1, "carol", carol.hello)]) == ["open_failed"]
    assert read(bob, said[0], authors=[(1, "carol", alice.hello)]) == ["hello_refused"]
    assert read(bob, said[0]._replace(member=2), authors=[(1, "alice", alice.hello)]) == ["key_missing"]
    assert read(bob, said[0], authors=[(1, "alice", None)]) == ["key_missing"]
    assert read(bob, said[0], authors=[(1, "alice", b"\x00" * 200)]) == ["hello_refused"]


def test_a_message_of_another_channel_is_refused(past, bind):
    _, bob, _, authors = past
    elsewhere = bind("alice", channel="elsewhere")
    other = Kept(1, 1, elsewhere.seal(MESSAGE, b"x"))
    assert read(bob, other, authors=authors) == ["open_failed"]
    assert read(bob, other, authors=[(1, "alice", elsewhere.hello)]) == ["hello_refused"]


def test_what_another_member_sealed_in_an_authors_session_is_not_signed_by_it(past, bind):
    """Whoever has the secret can derive everybody's keys, but not sign."""
    alice, bob, said, _ = past
    forged = bytearray(said[0].data)
    assert forged[1] & SIGNED
    forger = Key.raw(SECRET).bind(APP, "standup", "alice", entropy=_same_session(alice))
    data = forger.seal(MESSAGE, b"never said")
    assert read(bob, Kept(1, 1, data), authors=[(1, "alice", alice.hello)]) == ["signature_forged"]


def _same_session(crypto: ChannelCrypto):
    assert crypto._sealed is not None
    session = [crypto._sealed.sender.session]
    return lambda size: session.pop() if session else b"f" * size


def test_frames_beacons_unsigned_and_clear_ones_are_no_messages(past):
    alice, bob, said, authors = past
    unsigned = bytearray(said[0].data)
    unsigned[1] &= ~SIGNED
    for data, reason in (
        (alice.seal(AUDIO, b"x"), "open_failed"),
        (alice.seal(Descriptor(Kind.CONTROL), b"x" * 90), "open_failed"),
        (bytes(unsigned), "unsigned"),
        (CLEAR_MESSAGE.wire + b"hello", "clear_text_refused"),
        (b"", "open_failed"),
    ):
        assert read(bob, Kept(1, 1, data), authors=authors) == [reason]


def test_history_neither_opens_nor_closes_anything_for_what_is_live(room):
    key = Key.raw(SECRET)
    alice, bob = room.join("alice", key), room.join("bob", key)
    room.send(alice, b"live", MESSAGE)
    ahead = [Kept(n, 1, alice.crypto.seal(MESSAGE, b"%d" % n)) for n in (2, 3)]
    authors = [(1, "alice", alice.crypto.hello)]
    assert read(bob.crypto, *ahead, authors=authors) == [b"2", b"3"]
    for kept in ahead:
        room.hand(bob, alice.number, kept.data)
    assert bob.heard == [b"live", b"2", b"3"], "the live window was not moved by the past"
    assert read(bob.crypto, *ahead, authors=authors) == [b"2", b"3"], "nor is the past by the present"


def test_history_proves_nobody_to_be_here(bind):
    alice, bob = bind("alice"), bind("bob")
    bob.joined([(1, "alice", alice.hello)], 0.0)
    old = alice.seal(MESSAGE, b"old")
    assert read(bob, Kept(1, 1, old), authors=[(1, "alice", alice.hello)]) == [b"old"]
    assert bob.receive(1, alice.seal(MESSAGE, b"now"), 0.0, 2) == []


def test_an_author_that_is_not_trusted_is_refused_and_not_remembered(room):
    stranger = room.managed("alice").bind(APP, "standup", "alice", wall=room.wall)
    bob = room.join("bob", room.managed("bob"))
    room.authority = type(room.authority).generate()
    other = room.managed("alice").bind(APP, "standup", "alice", wall=room.wall)
    data = other.seal(MESSAGE, b"x")
    assert read(bob.crypto, Kept(1, 1, data), authors=[(1, "alice", other.hello)]) == ["certificate_forged"]
    bob.crypto.add_member(5, "alice", stranger.hello, room.now)


def test_the_places_that_are_remembered_are_bounded(past):
    _, bob, said, authors = past
    assert bob._sealed is not None
    provider, company = bob._sealed._provider, bob._sealed._company
    trusted = Authors(bob._sealed.sender, provider, company, lambda: 0.0)
    reader = HistoryReader(provider, trusted, Protection(), shown_max=2)
    assert told(list(reader.reopen("e", said, authors))) == [b"1", b"2", b"3"]
    assert repr(reader) == "HistoryReader(shown=2)"


def test_clear_text_is_read_at_the_relays_word():
    bob = Key.none().bind(APP, "standup", "bob")
    messages = [
        Kept(1, 1, CLEAR_MESSAGE.wire + b"hello"),
        Kept(2, 1, Descriptor(Kind.DATA, stream=2, version=2).wire + b"x"),
        Kept(3, 7, b""),
    ]
    page = list(bob.reopen("e", messages, [(1, "alice", None)]))
    assert told(page) == [b"hello", "open_failed", "open_failed"]
    assert [one.user for one in page] == ["alice", "alice", ""]
