"""The web console: pages for operators on the internal port.

``application``  the pages as one ASGI application, and what it is made of
``gate``         what comes before a page: session, role, CSRF, confirmation
``visit``        what a page is given, and how it answers
``sessions``     who is signed in; ``onetime`` sign-ins without an account
``figures``      series of a bounded length, ``watching`` what they are made of
``rendering``    templates, static files, headers
``pages``        a module for each section; the navigation is made of them

It has no field for a content key, and serves no code that holds one.
"""

from __future__ import annotations

__all__: list[str] = []
