"""The options of the process and its two ports."""

from __future__ import annotations

import ipaddress
from typing import Final, Literal

from pydantic import SecretStr, model_validator

from .config_section import Section, option
from .placeholder import is_placeholder

__all__ = ["ServerConfig", "is_loopback"]

_KEY_LEAST: Final = 32


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach what listens on *host*."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ServerConfig(Section):
    """The process and its public port."""

    host: str = option("127.0.0.1", "address to listen on")
    port: int = option(7700, "port to listen on; 0 takes a free one", ge=0, le=65535)
    tls_certificate: str = option(
        "", "PEM file of the certificate chain; with it the port speaks TLS (`wss`). SIGHUP reads it again"
    )
    tls_key: str = option("", "PEM file of its private key")
    node: str = option("", "name of this process in `welcome`; empty: a random one", max_length=64)
    heartbeat: float = option(25.0, "silence after which a connection is pinged", unit="s", ge=0.05, le=3600)
    unauthenticated: float = option(
        10.0, "how long a connection may be without a membership", unit="s", ge=0.05, le=3600
    )
    handshake: float = option(5.0, "how long the WebSocket handshake may take", unit="s", ge=0.05, le=60)
    close: float = option(2.0, "how long a closing connection may linger", unit="s", ge=0.05, le=60)
    connections: int = option(20_000, "connections at the same time", ge=1)
    handshakes: int = option(
        2_000, "connections in the handshake at the same time; the oldest gives way", ge=1
    )
    backlog: int = option(1024, "connections that the system queues before they are accepted", ge=1)
    proxy_protocol: Literal["off", "required"] = option(
        "off",
        "`required`: connections from `guard.trusted_proxies` begin with a PROXY header, version 1 or 2",
    )
    drain_spread: float = option(
        5.0, "clients are told to come back after a random part of this", unit="s", ge=0, le=3600
    )

    internal: bool = option(True, "serve operators too: API, metrics and health, on a port of their own")
    internal_host: str = option("127.0.0.1", "address of the internal port")
    internal_port: int = option(7701, "the internal port; 0 takes a free one", ge=0, le=65535)
    internal_key: SecretStr = option(
        SecretStr(""),
        "an API key that may do everything, 32 characters or more",
    )
    internal_tls_certificate: str = option("", "as `tls_certificate`, for the internal port")
    internal_tls_key: str = option("", "as `tls_key`, for the internal port")
    internal_tls_clients: str = option(
        "", "PEM file of issuers; with it the internal port is for clients with a certificate of theirs"
    )
    internal_clear: bool = option(
        False, "let others than this machine reach the internal port without TLS, keys and all"
    )

    unsafe_app_id_only: bool = option(
        False, "serve apps that admit members without a token on an address that others can reach"
    )
    unsafe_secrets: bool = option(
        False, "serve apps whose certificates are placeholders on an address that others can reach"
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> ServerConfig:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key need each other")
        if bool(self.internal_tls_certificate) != bool(self.internal_tls_key):
            raise ValueError("internal_tls_certificate and internal_tls_key need each other")
        if self.internal_tls_clients and not self.internal_tls_key:
            raise ValueError("internal_tls_clients needs internal_tls_certificate and internal_tls_key")
        return self

    @model_validator(mode="after")
    def _internal_port_is_safe(self) -> ServerConfig:
        if 0 < len(self.internal_key.get_secret_value()) < _KEY_LEAST:
            raise ValueError(f"internal_key should have {_KEY_LEAST} characters or more")
        reached = self.internal and not is_loopback(self.internal_host) and not self.unsafe_secrets
        if reached and self.internal_key.get_secret_value() and is_placeholder(self._key):
            raise ValueError("internal_key is a placeholder, and internal_host can be reached by others")
        safe = is_loopback(self.internal_host) or self.internal_tls_key or self.internal_clear
        if self.internal and not safe:
            raise ValueError(
                "internal_host can be reached by others, so it needs internal_tls_certificate and"
                " internal_tls_key, or internal_clear = true behind something that has TLS"
            )
        return self

    @property
    def _key(self) -> str:
        return self.internal_key.get_secret_value()
