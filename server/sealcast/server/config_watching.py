"""The options of what a relay is watched with; ``config`` has them as ``metrics`` and ``traces``."""

from __future__ import annotations

from pydantic import model_validator

from .config_section import Section, option

__all__ = ["MetricsConfig", "TracesConfig"]


class MetricsConfig(Section):
    """What `/metrics` on the internal port shows, and to whom."""

    open: bool = option(
        True,
        "whoever reaches the internal port may read them; `false`: needs an API key with `metrics:read`",
    )
    apps: int = option(
        100, "apps that have numbers of their own; those of the others are summed up", ge=0, le=10_000
    )


class TracesConfig(Section):
    """Traces of joins and API requests, by OpenTelemetry; they need `pip install 'sealcast[otel]'`."""

    endpoint: str = option(
        "",
        "where OTLP over HTTP is taken, as `http://127.0.0.1:4318/v1/traces`; empty: no traces",
        max_length=512,
    )
    ratio: float = option(0.01, "how many of all are recorded, from 0 to 1", ge=0, le=1)

    @model_validator(mode="after")
    def _endpoint_is_an_address(self) -> TracesConfig:
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint should begin with http:// or https://")
        return self
