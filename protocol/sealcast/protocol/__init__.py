"""sealcast.1, the pure part: wire format, names, codes, tokens and the session machine.

Nothing here touches a socket, a clock, a cipher or a source of randomness; time and random values
are arguments. Both the relay and the SDK stand on this package and never on each other.

In reading order: ``names``, ``codes``, ``errors``, ``envelope``, ``descriptor``, ``sframe``, ``controls``,
``session``, ``tokens``.
"""
