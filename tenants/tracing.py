"""OpenTelemetry spans, as the standard environment variables say; nothing is loaded or done without them.

On when OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set, over HTTP with protobuf; sampling, headers, names
and deadlines as OTEL_* say. A request's trace has the id that the caller sees as `traceId` and X-Request-ID.
Attributes are ids and numbers, and an error is its class: no words of a visitor or a document leave this way.
"""

import contextlib
import functools
import importlib.util
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import structlog
from django.core.exceptions import ImproperlyConfigured

from tenants.errors import cause_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

P = ParamSpec("P")
T = TypeVar("T")
ON = (
    bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
    and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
    and os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
)
if ON and importlib.util.find_spec("opentelemetry.exporter.otlp.proto") is None:
    raise ImproperlyConfigured("OTEL_EXPORTER_OTLP_ENDPOINT needs the packages of requirements-telemetry.txt.")
_NOTHING: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


def span(name: str, **attributes: str | int) -> contextlib.AbstractContextManager[None]:
    """A span around a block, below the one around it. An attribute's `_` is a dot: http_route is `http.route`."""
    return _span(name, attributes) if ON else _NOTHING


def traced(name: str, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """A coroutine function with a span around each call; itself where tracing is off."""
    if not ON:
        return function

    @functools.wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with span(name):
            return await function(*args, **kwargs)

    return run


def end() -> None:
    """Send what is still here, for a process that ends without Python's own end."""
    if ON:
        _provider(os.getpid()).shutdown()


@contextlib.contextmanager
def _span(name: str, attributes: dict[str, str | int]) -> Iterator[None]:
    from opentelemetry.trace import Status, StatusCode

    tracer = _provider(os.getpid()).get_tracer("support-chat")
    told = {key.replace("_", "."): value for key, value in attributes.items()}
    with tracer.start_as_current_span(
        name, attributes=told, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, cause_of(error)))
            raise


@functools.cache
def _provider(pid: int) -> "TracerProvider":
    """This process's own: the thread that sends does not survive a fork."""
    import multiprocessing.util

    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class OurIds(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            known: Any = structlog.contextvars.get_contextvars().get("trace_id")
            return uuid.UUID(known).int if known else super().generate_trace_id()

    names = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "support-chat"}
    provider = TracerProvider(resource=Resource.create(names), id_generator=OurIds())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    multiprocessing.util.Finalize(None, provider.shutdown, exitpriority=10)  # a worker ends without atexit
    return provider
