"""ASGI: streaming and chat routes to Channels, everything else to Django."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path, re_path

from chat.routing import http_routes, websocket_routes
from config import edge, metrics, preload
from config.checks import log_retirements

application = edge.Edge(
    ProtocolTypeRouter(
        {
            "http": URLRouter([path("metrics", metrics.page), *http_routes, re_path("", django_application)]),  # type: ignore[arg-type]
            "websocket": URLRouter([*websocket_routes, re_path("", edge.no_socket)]),  # type: ignore[arg-type]
        }
    )
)
edge.limit_daphne()
log_retirements()

if settings.EMBEDDED:
    from knowledge import queue
    from knowledge.vectors import embedded
    from tenants import timetable

    embedded.own()
    queue.start_embedded_worker()
    timetable.start_thread()

preload.begin()
