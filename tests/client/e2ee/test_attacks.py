"""Members who attack members, with the key in their hands and the relay on their side.

AES-GCM binds a frame to a key only against those who do not have it. Who has it can make two frames
with one tag, and one frame for two keys. Both are done here, and both must show.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sealcast.client.e2ee import Identity, Key
from sealcast.client.e2ee.alerts import Authentic, RosterSplit, Unauthentic
from sealcast.client.e2ee.context import BaseKey, Sender, base_key, bind16, context_id, epoch_key
from sealcast.client.e2ee.direct import Direct, encode_wrap
from sealcast.client.e2ee.hello import read_hello
from sealcast.client.e2ee.kem import PublicKem
from sealcast.client.e2ee.layers import SealLayers
from sealcast.client.e2ee.sealer import Sealer
from sealcast.client.e2ee.suites import AES_128_GCM
from sealcast.client.e2ee.wrap import Pair, Party, make_wrap
from sealcast.client.errors import SignatureForged
from sealcast.protocol.descriptor import BYTES, SIGNED, Descriptor
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header, read_header

APP = "0123456789abcdef0123456789abcdef"
CTX = context_id(APP, "standup")
SECRET = bytes(range(32))
AUDIO = Descriptor(Kind.AUDIO, stream=2)
MESSAGE = Descriptor(Kind.MESSAGE, stream=1)
_R = 0xE1 << 120


def times(x: int, y: int) -> int:
    """Multiply in GCM's field (NIST SP 800-38D §6.3)."""
    z = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            z ^= y
        y = y >> 1 ^ (_R if y & 1 else 0)
    return z


def power(x: int, n: int) -> int:
    result = 1 << 127
    while n:
        if n & 1:
            result = times(result, x)
        x, n = times(x, x), n >> 1
    return result


def block(key: bytes, data: bytes) -> int:
    return int.from_bytes(Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data), "big")


def blocks(data: bytes) -> list[int]:
    padded = data + bytes(-len(data) % 16)
    return [int.from_bytes(padded[i : i + 16], "big") for i in range(0, len(padded), 16)]


def ghash(h: int, aad: bytes, ciphertext: bytes) -> int:
    y = 0
    lengths = len(aad) * 8 << 64 | len(ciphertext) * 8
    for x in [*blocks(aad), *blocks(ciphertext), lengths]:
        y = times(y ^ x, h)
    return y


def sender_of(hello: bytes | None) -> Sender:
    assert hello is not None
    read = read_hello(hello, CTX)
    return Sender(CTX, AES_128_GCM, read.user, read.session)


def key_of(base: bytes, kid: int, ctr: int) -> tuple[bytes, bytes]:
    key, salt = AES_128_GCM.schedule(base, kid)
    return key, (int.from_bytes(salt, "big") ^ ctr).to_bytes(12, "big")


def with_the_same_tag(frame: bytes, key: bytes, delta: bytes) -> bytes:
    """Change the first block of a frame's ciphertext, and the second so that the tag still holds."""
    _, _, end = read_header(frame, BYTES)
    h = block(key, bytes(16))
    change = int.from_bytes(delta, "big")
    body = bytearray(frame)
    for at, by in ((end, change), (end + 16, times(change, h))):
        old = int.from_bytes(body[at : at + 16], "big")
        body[at : at + 16] = (old ^ by).to_bytes(16, "big")
    return bytes(body)


def test_two_frames_with_one_tag_and_only_the_senders_is_authentic(room: Any) -> None:
    alice, bob = (room.join(user, Key.raw(SECRET, sign_media=True)) for user in ("alice", "bob"))
    sender = sender_of(alice.crypto.hello)
    base = base_key(epoch_key(AES_128_GCM, CTX, SECRET), sender, 0)
    room.send(alice, bytes(48))
    room.wait(0.6)
    assert bob.notices(Authentic)

    forged: list[bytes] = []

    def insider_and_relay(sender: Any, receiver: Any, frame: bytes) -> list[bytes]:
        if frame[0] & 15 != Kind.AUDIO:
            return [frame]
        kid, ctr, _ = read_header(frame, BYTES)
        forged.append(with_the_same_tag(frame, key_of(base, kid, ctr)[0], b"another word    "))
        return [forged[-1]]

    room.meddle = insider_and_relay
    genuine = room.send(alice, bytes(48))
    assert forged[0][-16:] == genuine[-16:]
    assert forged[0] != genuine
    assert bob.heard[-1][:16] == b"another word    ", "the cipher lets it through"
    room.wait(0.5)
    assert bob.notices(Unauthentic) == [Unauthentic(alice.number, "alice", 2, 1)]


def test_a_message_that_another_member_made_is_refused_and_the_genuine_one_is_not_lost(room: Any) -> None:
    alice, bob = (room.join(user, Key.raw(SECRET)) for user in ("alice", "bob"))
    room.send(alice, b"genuine", MESSAGE)
    sender = sender_of(alice.crypto.hello)
    base = BaseKey(0, 0, base_key(epoch_key(AES_128_GCM, CTX, SECRET), sender, 0))
    mallory = Sealer(sender, base, first_counter=2**31, layers=SealLayers(Identity.generate().sign))
    room.hand(bob, alice.number, mallory.seal(MESSAGE, b"forged"))
    room.hand(bob, alice.number, mallory.seal(Descriptor(Kind.CONTROL), bytes(100)))
    assert bob.refused == ["SignatureForged", "SignatureForged"]
    room.send(alice, b"and its counter still counts", MESSAGE)
    assert bob.heard == [b"genuine", b"and its counter still counts"]


def test_a_message_cannot_be_moved_to_another_counter_or_flag_by_who_has_the_key(room: Any) -> None:
    alice, bob = (room.join(user, Key.raw(SECRET)) for user in ("alice", "bob"))
    frame = alice.crypto.seal(MESSAGE, b"said once")
    sender = sender_of(alice.crypto.hello)
    base = base_key(epoch_key(AES_128_GCM, CTX, SECRET), sender, 0)
    kid, ctr, end = read_header(frame, BYTES)
    key, nonce = key_of(base, kid, ctr)
    bound = bind16(sender, 0)
    cipher = AES_128_GCM.cipher(key)
    signed = cipher.decrypt(nonce, frame[end:], frame[BYTES:end] + bound + frame[:BYTES])
    for wire, moved in ((frame[:BYTES], 5), (bytes([frame[0], SIGNED | 0x20]) + frame[2:4], ctr)):
        header = encode_header(kid, moved)
        sealed = cipher.encrypt(key_of(base, kid, moved)[1], signed, header + bound + wire)
        room.hand(bob, alice.number, wire + header + sealed)
    assert bob.refused == [SignatureForged.__name__] * 2


def for_two_keys(first: bytes, second: bytes, kid: int, ctr: int, aad: bytes, size: int) -> bytes:
    """Make a ciphertext and tag that open under both base keys. The first block puts the tags right."""
    solved = []
    for base in (first, second):
        key, nonce = key_of(base, kid, ctr)
        h = block(key, bytes(16))
        rest = ghash(h, aad, bytes(16) + b"p" * (size - 16)) ^ block(key, nonce + b"\0\0\0\1")
        solved.append((h, rest))
    (h1, rest1), (h2, rest2) = solved
    weight = len(blocks(bytes(size))) + 1
    both = power(h1, weight) ^ power(h2, weight)
    free = times(rest1 ^ rest2, power(both, 2**128 - 2))
    ciphertext = free.to_bytes(16, "big") + b"p" * (size - 16)
    key, nonce = key_of(first, kid, ctr)
    tag = ghash(h1, aad, ciphertext) ^ block(key, nonce + b"\0\0\0\1")
    return ciphertext + tag.to_bytes(16, "big")


def test_one_frame_for_two_keys_opens_twice_and_splits_the_roster(room: Any) -> None:
    bob, carol = (room.join(user, room.managed(user)) for user in ("bob", "carol"))
    for seat in (bob, carol):
        room.send(seat, b"hello")
    identity = Identity.generate()
    identity.hold(
        room.authority.certify(APP, "standup", "mallory", identity.public, not_before=0, not_after=2**33)
    )
    other_base = b"\x55" * 32

    def two_faces(number: int, direct: Direct) -> list[bytes]:
        receiver = room.seats[direct.member]
        if number != 3 or direct.data[0] != 1 or receiver is not carol:
            return [direct.data]
        own = read_hello(mallory_hello[0], CTX)
        to = read_hello(carol.crypto.hello, CTX)
        pair = Pair(
            CTX,
            AES_128_GCM,
            Party("mallory", own.session, own.identity),
            Party("carol", to.session, to.identity),
            to.kem,
            to.kem_public,
        )
        wrap = make_wrap(BaseKey(0, 0, other_base), pair, PublicKem(to.kem, to.kem_public), identity)
        return [encode_wrap(wrap)]

    mallory_hello: list[bytes] = []
    room.meddle_direct = two_faces
    key = Key.managed(identity, room.authority.public)
    crypto = key.bind(APP, "standup", "mallory", wall=room.wall)
    mallory_hello.append(crypto.hello or b"")
    mallory = type(bob)(3, "mallory", crypto)
    room.seat(mallory)

    # Only Mallory's own program knows the key it gave to Bob.
    bobs_base = crypto._sealed.sending.sealer.base.key  # type: ignore[union-attr]
    header = encode_header(2 << 8, 9)
    aad = header + bind16(sender_of(crypto.hello), 0) + AUDIO.wire
    frame = AUDIO.wire + header + for_two_keys(bobs_base, other_base, 2 << 8, 9, aad, 64)
    faces = [seat.crypto.open(3, frame).payload for seat in (bob, carol)]
    assert faces[0] != faces[1]
    assert len(faces[0]) == len(faces[1]) == 64

    room.wait(16)
    assert RosterSplit(carol.number, "carol") in bob.notices(RosterSplit)
    assert RosterSplit(bob.number, "bob") in carol.notices(RosterSplit)
