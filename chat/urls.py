"""Routes under /api/widget/ that ask no model; the others are in chat/routing.py."""

from django.urls import path

from chat import views

urlpatterns = [
    path("config", views.Config.as_view()),
    path("sessions/<id:session_id>/messages", views.SessionMessages.as_view()),
    path("sessions/<id:session_id>/person", views.Person.as_view()),
    path("sessions/<id:session_id>/address", views.Address.as_view()),
    path("sessions/<id:session_id>/export", views.SessionExport.as_view()),
    path("sessions/<id:session_id>", views.SessionDetail.as_view()),
    path("messages/<id:trace_id>/feedback", views.Feedback.as_view()),
]
