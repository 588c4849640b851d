"""The ``sealcast`` command: a relay, tokens and keys, a terminal chat, and channels as pipes.

``main`` has the table of commands; each stands in a module of its own, which is imported when the
command is used, so that `sealcast version` does not wait for a relay to load. The relay's packages are
an extra (``sealcast[server]``): only ``serve`` and the configuration's commands touch them.
"""
