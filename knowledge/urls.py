"""Routes under /api/widget/. A documentId may hold any character, a slash too."""

from django.urls import path, re_path

from knowledge import views

urlpatterns = [
    path("process-document", views.ProcessDocument.as_view()),
    re_path(r"^documents/(?P<document_id>.{1,255})/status$", views.DocumentStatus.as_view()),
    re_path(r"^documents/(?P<document_id>.{1,255})$", views.DocumentDetail.as_view()),
]
