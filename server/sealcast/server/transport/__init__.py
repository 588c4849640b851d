"""Transports: how bytes come in and go out. ``websocket`` is the only one."""
