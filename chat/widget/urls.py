"""Included at the root: the demo page and the widget's files, outside /api/widget."""

from django.urls import path, re_path

from chat.widget import views

FILE = r"(?P<name>widget\.(?:js|css)|people\.js|[a-z]{2}\.json)"

urlpatterns = [
    path("", views.demo_page),
    path("widget/version", views.versions),
    re_path(rf"^widget/(?P<version>v[12])/{FILE}$", views.widget_file),
    re_path(rf"^widget/(?P<version>v[12])/(?P<digest>[0-9a-f]{{16}})/{FILE}$", views.pinned_file),
]
