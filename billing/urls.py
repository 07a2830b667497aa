"""Included under /api/: what the dashboard asks about use and money."""

from django.urls import path

from billing import views

urlpatterns = [
    path("usage", views.UsageView.as_view(), name="usage"),
    path("usage/current", views.CurrentUsageView.as_view(), name="usage-current"),
    path("invoices", views.InvoicesView.as_view(), name="invoices"),
    path("clients/<id:client_id>/limits", views.LimitsView.as_view(), name="client-limits"),
    path("billing/stripe", views.StripeWebhookView.as_view(), name="stripe-webhook"),
]
