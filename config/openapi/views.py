"""The API's document, and the page that shows it. drf-spectacular is loaded when somebody asks for them: it brings
Django's tests with it, for which every command would wait half a second.
"""

import functools
from typing import Any

from django.http import HttpRequest, HttpResponse


def schema(request: HttpRequest) -> HttpResponse:
    """`/api/schema`"""
    return _view("SpectacularAPIView")(request)


def docs(request: HttpRequest) -> HttpResponse:
    """`/api/docs`"""
    return _view("SpectacularSwaggerSplitView", url_name="schema")(request)


@functools.cache
def _view(name: str, **options: str) -> Any:
    from drf_spectacular import views

    return getattr(views, name).as_view(**options)
