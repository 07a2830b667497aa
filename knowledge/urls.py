"""Routes under /api/widget/. A documentId may hold any character, a slash too."""

from django.urls import path, re_path

from knowledge import views

urlpatterns = [
    path("process-document", views.ProcessDocument.as_view()),
    re_path(r"^documents/(?P<document_id>(?s:.{1,255}))/status\Z", views.DocumentStatus.as_view()),
    re_path(r"^documents/(?P<document_id>(?s:.{1,255}))\Z", views.DocumentDetail.as_view()),
]
