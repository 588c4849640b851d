"""nginx with the nchan module: publishing and subscribing in one WebSocket location."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import tempfile
from pathlib import Path

from .base import Running
from .installed import DEBIAN, first_line
from .plain import Plain
from .process import free_port, run
from .websocket import connect

__all__ = ["PEERS"]

_BODIES = Path("/var/lib/nginx/body")
"""Debian's nchan has this path built in; its directive for another one is refused as a duplicate."""

_MANY = 65536


class Nchan(Plain):
    """A channel for each path. One worker, for more of them would pass messages on between themselves."""

    name = "nchan"
    note = "messages kept in shared memory; a sender gets its own back; no tokens, rights or counters"
    echoes = True

    def missing(self) -> str | None:
        """Return how to get it."""
        if _files() is None:
            return "needs nginx with nchan: make bench-peers ARGS=nchan"
        if not _BODIES.is_dir():
            return f"nchan wants a folder that cannot be configured: mkdir -p {_BODIES} (as root)"
        return None

    def version(self) -> str:
        """Return the versions of both; of nchan, what Debian's list of changes says."""
        program, _, changes = _installed()
        found = first_line([str(program), "-v"]).removeprefix("nginx version: ")
        if changes.is_file():
            with gzip.open(changes, "rt", encoding="utf-8") as words:
                found += f" nchan {words.readline().split('(')[-1].split(')')[0]}"
        return found

    def start(self) -> Running:
        """Start it with a configuration in a temporary folder."""
        program, module, _ = _installed()
        folder = Path(tempfile.mkdtemp(prefix="sealcast-bench-"))
        port = free_port()
        path = folder / "nginx.conf"
        user = ""
        if os.geteuid() == 0:
            # The user whom Debian's nginx gives _BODIES to; nginx insists on doing the same at each start.
            user = "user www-data;"
            folder.chmod(0o755)
        path.write_text(
            _CONFIGURATION.format(module=module, folder=folder, port=port, user=user, files=_files_allowed())
        )
        running = run(
            [str(program), "-e", "stderr", "-p", str(folder), "-c", str(path)],
            port=port,
            cleanup=lambda: shutil.rmtree(folder, ignore_errors=True),
        )
        try:
            # The master listens before it has a worker; an answer comes only from one.
            connect(port, "/c/start").close()
            running.pids += _workers(running.pids[0])
        except BaseException:
            running.__exit__(None, None, None)
            raise
        return running


def _installed() -> tuple[Path, Path, Path]:
    files = _files()
    if files is None:
        raise RuntimeError("nginx or its module nchan is not there")
    return files


def _files_allowed() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MANY if hard == resource.RLIM_INFINITY else min(hard, _MANY)


def _workers(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def _files() -> tuple[Path, Path, Path] | None:
    for root in DEBIAN:
        program = root / "usr/sbin/nginx"
        module = root / "usr/lib/nginx/modules/ngx_nchan_module.so"
        if program.is_file() and module.is_file():
            return program, module, root / "usr/share/doc/libnginx-mod-nchan/changelog.Debian.gz"
    return None


_CONFIGURATION = """\
load_module {module};
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/pid;
error_log stderr error;
events {{
  worker_connections {files};
  multi_accept on;
}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 512M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/c/([a-zA-Z0-9-]+)$ {{
      nchan_pubsub websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
      nchan_websocket_ping_interval 0;
    }}
  }}
}}
"""

PEERS = (Nchan(),)
