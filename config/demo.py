"""The demo client: Acme Outdoor, with a few documents of each type."""

from pathlib import Path

from django.conf import settings

from chat.models import SupportHours
from chat.widget.demo import current_key, remember_key
from knowledge.documents import Upload, submit
from tenants import keys
from tenants.models import Client, WidgetConfig
from tenants.scoping import client_scope

NAME = "Acme Outdoor"
QUESTION = "How long do I have to return boots?"
DOCUMENTS = Path(settings.BASE_DIR) / "knowledge" / "demo"


def load_demo() -> str:
    """Make the demo client once, and queue its documents; returns its publishable key."""
    if key := current_key():
        return key
    client = Client.objects.create(name=NAME, tier=Client.Tier.PAID)
    with client_scope(client.pk):
        WidgetConfig.objects.create(
            widget_name=NAME,
            welcome_message="Hi! Ask me about our boots, tents, delivery or returns.",
            primary_color="#2f6f4f",
            options={
                "suggestedQuestions": [QUESTION, "How do I care for leather boots?", "When is the shop in Leeds open?"]
            },
        )
        SupportHours.objects.create(**dict.fromkeys(SupportHours.DAYS, "00:00-24:00"))
    _, key = keys.mint(client.pk, "publishable", name="demo page")
    for path in sorted(DOCUMENTS.iterdir()):
        if path.suffix in (".pdf", ".docx", ".txt", ".csv"):
            submit(client, Upload(f"demo-{path.stem}", path.read_bytes(), path.suffix[1:], path.name))
    remember_key(key)
    return key
