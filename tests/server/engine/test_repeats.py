"""Which messages were placed before: the newest ones, by user, run and ref."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.engine.repeats import Identity, Repeats

IDENTITIES = st.builds(
    Identity,
    st.sampled_from(["ann", "bob"]),
    st.sampled_from([b"", b"r" * 16, b"s" * 16]),
    st.integers(1, 2**32 - 1),
)


def test_a_message_is_found_under_its_user_run_and_ref_and_no_other() -> None:
    repeats = Repeats()
    repeats.note(Identity("ann", b"r" * 16, 7), 1)
    assert repeats.find(Identity("ann", b"r" * 16, 7)) == 1
    assert repeats.find(Identity("bob", b"r" * 16, 7)) is None
    assert repeats.find(Identity("ann", b"s" * 16, 7)) is None
    assert repeats.find(Identity("ann", b"r" * 16, 8)) is None


@given(st.lists(IDENTITIES, max_size=40, unique=True), st.integers(1, 10))
def test_the_newest_are_remembered_and_found_by_run(identities: list[Identity], most: int) -> None:
    repeats = Repeats(most)
    for offset, identity in enumerate(identities, 1):
        repeats.note(identity, offset)
    known = {identity: offset for offset, identity in enumerate(identities, 1) if identity.run}
    newest = dict(list(known.items())[-most:])
    assert dict(repeats.items()) == newest
    assert len(repeats) == len(newest)
    for identity in identities:
        assert repeats.find(identity) == newest.get(identity)
        user, run, _ = identity
        assert repeats.of_run(user, run) == {
            offset for other, offset in newest.items() if (other.user, other.run) == (user, run)
        }
