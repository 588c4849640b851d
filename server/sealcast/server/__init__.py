"""The relay: authenticates tokens at join time, keeps apps apart, forwards what it cannot decrypt.

In reading order, a frame's way through: ``transport.websocket`` (bytes to messages) → ``session`` (route,
rights) → ``channel`` (collects a loop turn) → ``engine`` (places messages, carries turns) → ``channel``
(the same bytes to every member) → ``transport``; a member that does not keep up gets an ``outbox``.
``relay`` wires it together. Nothing in this package can decrypt, and tests prove it.
"""
