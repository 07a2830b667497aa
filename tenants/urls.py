"""Included under /api/widget/."""

from django.urls import path

from tenants.views import ValidateClientView

urlpatterns = [
    path("internal/validate-client", ValidateClientView.as_view(), name="validate-client"),
]
