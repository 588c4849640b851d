"""Engines: what carries channels between processes. ``memory`` serves one process."""
