"""Traces of joins and of requests on the internal port, sent by OpenTelemetry; loaded where they are wanted.

A span has the app's id, a code and its length: never a user, a channel, an address or a token. What cannot be
sent is dropped by the exporter, which works in a thread of its own with a bounded queue.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from sealcast.protocol.version import __version__

from .config import TracesConfig
from .spans import Tracer, TracesUnavailable

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as error:
    _missing: str | None = error.name
else:
    _missing = None

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

__all__ = ["Traces"]

_SEND_TIME: Final = 5
"""Seconds that one delivery may take; also how long the relay waits for it when it goes down."""
_QUEUE: Final = 2_048
_LONGEST_PARENT: Final = 64
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traces:
    """Sends traces.

    Args:
        config: where to, and how many.
        node: names this process.

    Raises:
        TracesUnavailable: the packages for it are not installed.

    """

    def __init__(self, config: TracesConfig, node: str) -> None:
        if _missing is not None:
            raise TracesUnavailable(
                f"traces need the package {_missing}, not installed; try pip install 'sealcast[otel]'"
            )
        # It says at length what it could not send, again and again; what is lost is not news.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        about = {"service.name": "sealcast", "service.version": __version__, "service.instance.id": node}
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(config.ratio)),
            resource=Resource(about),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=config.endpoint, timeout=_SEND_TIME)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
        self._tracer = self._provider.get_tracer("sealcast", __version__)
        self._parents = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Send what waits, but not for long; blocks meanwhile."""
        self._provider.force_flush(_SEND_TIME * 1000)
        self._provider.shutdown()

    def join(self, app_id: str, code: str, seconds: float) -> None:
        """Record a join."""
        about = {"sealcast.app": app_id, "sealcast.code": code}
        self._record("join", SpanKind.SERVER, about, seconds, failed=code == "internal_error")

    def request(self, method: str, route: str, status: int, seconds: float, parent: str = "") -> None:
        """Record a request on the internal port, as a part of the trace that its caller names."""
        method = method if method in _METHODS else "_OTHER"
        about: dict[str, AttributeValue] = {
            "http.request.method": method,
            "http.response.status_code": status,
        }
        if route:
            about["http.route"] = route
        carrier = {"traceparent": parent} if 0 < len(parent) <= _LONGEST_PARENT else {}
        name = f"{method} {route}" if route else method
        self._record(name, SpanKind.SERVER, about, seconds, failed=status >= 500, parent=carrier)

    def _record(
        self,
        name: str,
        kind: SpanKind,
        about: dict[str, AttributeValue] | dict[str, str],
        seconds: float,
        *,
        failed: bool,
        parent: dict[str, str] | None = None,
    ) -> None:
        ended = time.time_ns()
        span = self._tracer.start_span(
            name,
            self._parents.extract(parent or {}),
            kind,
            about,
            start_time=ended - int(seconds * 1e9),
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)


_: type[Tracer] = Traces
