"""Included under /api/widget/."""

from django.urls import path

from tenants.views import ClientErasure, ClientExport, ValidateClientView

urlpatterns = [
    path("internal/validate-client", ValidateClientView.as_view(), name="validate-client"),
    path("internal/clients/<id:client_id>/export", ClientExport.as_view()),
    path("internal/clients/<id:client_id>/erasure", ClientErasure.as_view()),
]
