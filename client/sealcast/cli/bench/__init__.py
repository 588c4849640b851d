"""``sealcast bench``: a load test of any sealcast relay.

The pure parts (``plan``, ``histogram``, ``tally``, ``table``) know no sockets; ``worker`` is one generator
process, and ``command`` starts them and adds up what they say.
"""
