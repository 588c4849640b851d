"""``sealcast demo``: a relay, a conversation through it, and the proof that the relay could not listen.

In reading order:

``command``      the command: options in, exit status out
``conductor``    which processes are started, what they are told, when they end
``participant``  one member, in a process of its own
``relay``        the relay, in a process of its own
``tap``          the wire between them, recorded; ``wire`` takes WebSocket frames apart
``seen``         what the recorded bytes say to somebody without a key
``ledger``       what the members report
``proof``        the search of the recording; ``checks`` draws the conclusions
``screen``       what is shown while it runs, and the table at its end

``wav``, ``payload`` and ``figures`` are what they work with; ``make_clip`` made ``clip.wav``.
"""
