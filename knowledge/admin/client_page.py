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
    shown = list(documents.defer("latest__text")[: SHOWN + 1])
    count = len(shown) if len(shown) <= SHOWN else documents.count()
    return {"documents": shown[:SHOWN], "count": count, "allowed": plan_of(client).documents}


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
