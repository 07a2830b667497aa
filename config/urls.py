from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from config import health
from config.openapi import views as openapi
from tenants import two_factor

widget_api: list[URLPattern | URLResolver] = [
    path("health", health.health),
    path("", include("tenants.urls")),
    path("", include("knowledge.urls")),
    path("", include("chat.urls")),
]
handler400 = "config.errors.bad_request"
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"
urlpatterns = [
    path("admin/two-factor/", admin.site.admin_view(two_factor.set_up), name="two-factor"),
    path("admin/", admin.site.urls),
    path("health", health.health),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("api/widget/", include(widget_api)),
    path("api/", include("billing.urls")),
    path("api/schema", openapi.schema, name="schema"),
    path("api/docs", openapi.docs, name="docs"),
    path("", include("chat.widget.urls")),
]
