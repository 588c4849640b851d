"""``sealcast verify-blind``: the proof, on this installation, that the relay cannot read.

In reading order:

``command``    the command: options in, exit status out
``inquiry``    the course of it: a sealed run, a run in clear as control, the searches
``stage``      such a run: a relay, what passes before it, and members
``providers``  the table of ways to agree on keys, each of which takes part
``material``   the keys of one channel; ``draws`` what the SDK made of them
``members``    for each of them two members and a guest, who send canaries of every kind
``runner``     the relay, in a process of its own; ``process`` starts, freezes and ends it
``memory``     the frozen relay's memory; ``places`` its files, environment and arguments
``capture``    what passed on the sockets
``unlock``     the keys that sealed it, and all of it opened
``needles``    what is looked for, in which encodings, and the search
``guess``      every window of the memory tried as a key
``sources``    what the relay imports, and the names in its source
``checks``     the conclusions, one row each; ``report`` shows them

The wire is recorded by the demo's tap. docs/verify-blind.md says what all this proves and what not.
"""
