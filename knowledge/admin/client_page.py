"""A client's documents on its page."""

from typing import Any

from django.db.models import Count, Subquery
from django.http import HttpRequest

from billing.plans import plan_of
from knowledge.models import Document
from tenants.desk import Panel, add_panel
from tenants.models import Client

SHOWN = 10


def _knowledge(request: HttpRequest, client: Client) -> dict[str, Any]:
    mine = Document.objects.filter(client=client)
    counted = Subquery(mine.order_by().values("client").annotate(n=Count("pk")).values("n"))  # with the rows, once
    shown = list(mine.select_related("latest").defer("latest__text").annotate(counted=counted)[:SHOWN])
    return {"documents": shown, "count": shown[0].counted if shown else 0, "allowed": plan_of(client).documents}


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
