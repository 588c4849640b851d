"""What a relay says of itself in numbers: declared once, read from plain counters, shown as Prometheus does.

``families`` declares every metric. A source returns samples of them; ``Board.add`` is all that a part of the
relay has to call to have its numbers shown. Nothing here is called for a frame.
"""
