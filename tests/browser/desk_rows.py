"""A desk with work on it, for the browser tests: run inside the product's own database by `manage.py shell`."""

import random
import uuid
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from billing import invoices, plans
from billing.models import HourCount, Plan, Subscription, UsageHour
from chat.models import Message, Session
from knowledge.documents import Upload, submit
from knowledge.models import Callback, Document
from tenants import keys
from tenants.models import Client, StaffMember
from tenants.scoping import client_scope, unscoped

DAYS = 95
NAMES = ("Birch & Daughters", "Café Olé", "Delft Bicycles", "Elm Street Dental", "Fjord Ferries", "Grünwald Optik")
FREE = "Hobby Garden"
CONVERSATION = (
    ("How long do I have to return boots?", "Boots can be returned within 30 days, unworn. [1]", "answered"),
    ("Do you repair zips?", "I could not find that in the documents. Please ask the team.", "refused"),
)


def fill(password: str) -> None:
    """Eight clients with three months of use, people of every role, and something wrong for each of the lists."""
    dice = random.Random(7)
    acme = Client.objects.get()
    others = [Client.objects.create(name=name, tier="paid") for name in NAMES]
    free = Client.objects.create(name=FREE, tier="free", alert_email="hello@example.com")
    for size, client in enumerate((acme, *others, free)):
        _use(client, dice, 60 // (1 + size))
        _talks(client, dice)
    _near_limit(others[1], 950)
    _near_limit(free, 100)
    _broken(others[2])
    keys.mint(others[0].pk, "secret", name="their shop's server", scopes=["documents"])
    _bills(acme)
    _people(acme, password)


def _use(client: Client, dice: random.Random, size: int) -> None:
    today = timezone.now().date()
    rows = []
    for day in range(DAYS):
        date = today - timedelta(days=DAYS - 1 - day)
        busy = size * (0.4 if date.weekday() > 4 else 1) * (0.6 + day / DAYS)
        for hour in (9, 13, 16):
            answers = int(busy * dice.uniform(0.6, 1.4))
            p50 = dice.randint(700, 1600)
            rows.append(UsageHour(
                client=client, date=date, hour=hour, rows=answers, requests=answers, cached=answers // 4,
                errors=dice.choice((0, 0, 0, 1, 3)), prompt_tokens=answers * 900, completion_tokens=answers * 120,
                cost=answers * 0.0021, p50_ms=p50, p95_ms=p50 * 3 + dice.randint(0, 900),
                overage=answers // 9, overage_cents=10 * (answers // 9 and 1),
            ))  # fmt: skip
    with client_scope(client.pk):
        UsageHour.objects.bulk_create(rows)


def _talks(client: Client, dice: random.Random) -> None:
    """Conversations of the last weeks, some of whose questions the documents did not answer."""
    now = timezone.now()
    with client_scope(client.pk):
        for number in range(6):
            at = now - timedelta(days=dice.randint(0, 25), minutes=number)
            session = Session.objects.create(metadata={"page": "/shop/boots"})
            said = []
            for question, answer, outcome in CONVERSATION[: 1 + number % 2]:
                trace = uuid.uuid4()
                said += [
                    Message(session=session, trace_id=trace, role="visitor", text=question),
                    Message(
                        session=session, trace_id=trace, role="assistant", text=answer, outcome=outcome,
                        model="extractive", prompt_tokens=612, completion_tokens=40, first_token_ms=210,
                        last_token_ms=900 + 1500 * number, rating="down" if number == 3 else "",
                    ),
                ]  # fmt: skip
            Message.objects.bulk_create(said)
            Message.objects.filter(session=session).update(created=at)


def _near_limit(client: Client, places: int) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    with client_scope(client.pk):
        for ahead in (0, 1, 2):  # the tests may cross an hour
            HourCount.objects.create(hour=hour + timedelta(hours=ahead), places=places, delivered=places)


def _broken(client: Client) -> None:
    """A document that could not be read, and a callback that nobody took."""
    version = submit(client, Upload("scan", b"%PDF-1.4 no pages", "pdf", "scanned-price-list.pdf"))
    with client_scope(client.pk):
        type(version).objects.filter(pk=version.pk).update(
            status="failed", error_message="The PDF has no text layer: it is a scan. Upload it with its text."
        )
        Callback.objects.create(
            document=Document.objects.get(external_id="scan"), status="failed", body="{}", attempts=9,
            last_error="503 Service Unavailable",
        )  # fmt: skip


def _bills(client: Client) -> None:
    """Last month's invoice, at a price that was in force then."""
    long_ago = timezone.now() - timedelta(days=DAYS)
    Plan.objects.bulk_create([  # what save() would refuse: prices of the past are none of a person's
        Plan(tier="paid", effective_from=long_ago, requests_per_hour=1000, overage=True, documents=100,
             subscription_cents=4_900),
    ])  # fmt: skip
    plans.forget()
    Client.objects.update(created=long_ago)
    client.refresh_from_db()
    with client_scope(client.pk):
        Subscription.objects.update(starts=long_ago)
    invoices.close(client, (timezone.now().replace(day=1) - timedelta(days=1)).date())


def _people(acme: Client, password: str) -> None:
    for name, role, only in (
        ("sue", "support", None), ("bill", "billing", None), ("olga", "client", acme)
    ):  # fmt: skip
        user = User.objects.create_user(name, password=password, is_staff=True)
        with unscoped("the test hires"):
            StaffMember.objects.create(user=user, role=role, client=only)
