"""A client's documents on its page."""

from typing import Any

from django.http import HttpRequest

from billing.plans import plan_of
from knowledge.models import Document
from tenants.desk import Panel, add_panel
from tenants.models import Client

SHOWN = 10


def _knowledge(request: HttpRequest, client: Client) -> dict[str, Any]:
    documents = Document.objects.filter(client=client).select_related("latest")
    documents = documents.defer("latest__text")
    return {"documents": list(documents[:SHOWN]), "count": documents.count(), "allowed": plan_of(client).documents}


add_panel(
    Panel(
        title="Knowledge",
        template="admin/desk/knowledge.html",
        permission="knowledge.view_document",
        data=_knowledge,
        place=30,
        anchor="knowledge",
    )
)
