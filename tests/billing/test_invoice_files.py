"""What staff download of invoices, and write against them."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from pypdf import PdfReader

from billing import invoice_files, invoices
from billing.models import Invoice, UsageRecord
from tenants.models import AuditEvent, Client, StaffMember
from tenants.scoping import client_scope
from tests.config.desk import browser_of


@pytest.fixture
def invoice(acme: Client) -> Invoice:
    """Forty hours of overage, for a client whose name is a formula and markup."""
    Client.objects.update(created=datetime(2026, 9, 1, tzinfo=UTC), name='=HYPERLINK("x") <b>Łódź</b>')
    acme.refresh_from_db()
    with client_scope(acme.pk):
        UsageRecord.objects.bulk_create(
            UsageRecord(
                request_id=f"{n}", at=datetime(2026, 10, 1 + n // 20, n % 20, tzinfo=UTC), overage=True, overage_cents=n
            )
            for n in range(40)
        )
    issued = invoices.close(acme, date(2026, 10, 1))
    assert issued is not None
    return issued


@pytest.fixture
def staff(client: Browser, db: None) -> Browser:
    client.force_login(User.objects.create_superuser("boss", password="x"))
    return client


def test_pdf_and_csv_hold_every_line(invoice: Invoice, staff: Browser, settings: Any) -> None:
    settings.INVOICE_SELLER = "Chat & Sons, 1 High Street"
    pdf = staff.get(f"/admin/billing/invoice/{invoice.pk}/file.pdf")
    assert (pdf["Content-Type"], pdf["Content-Disposition"]) == (
        "application/pdf",
        f'attachment; filename="{invoice.number}.pdf"',
    )
    pages = PdfReader(io.BytesIO(pdf.content)).pages
    text = "\n".join(page.extract_text() for page in pages)
    assert len(pages) == 2
    assert text.count("Overage on") == 40
    for fact in (
        f"Invoice {invoice.number}",
        "00:00 UTC: 1 request",
        "Chat & Sons, 1 High Street",
        "October 2026",
        "7.80 USD",
    ):
        assert fact in text
    assert staff.get(f"/admin/billing/invoice/{invoice.pk}/file.pdf").content == pdf.content

    reply = staff.get(f"/admin/billing/invoice/{invoice.pk}/file.csv")
    rows = list(csv.DictReader(io.StringIO(reply.content.decode())))
    assert [row["amount"] for row in rows] == ["0.00", *(f"0.{n:02}" for n in range(40))]
    assert {row["client"] for row in rows} == {'\'=HYPERLINK("x") <b>Łódź</b>'}
    assert rows[-1]["hour"] == "2026-10-02T19:00Z"


def test_no_letter_of_a_name_is_missing(invoice: Invoice) -> None:
    """The fonts that every reader has know Western names, and East Asian ones; the others' letters come in the file."""
    for name, font in (
        ("Café Zürich", "/Helvetica"),
        ("Łódzka Wędrówka śćńżą, Őrség, Kuş Ağacı, Česká Řeka, Ελληνική, Щука", "/AAAAAA+Arimo-Regular"),
        ("北京公司 日本カナ", "/STSong-Light"),
    ):
        invoice.client_name = name
        with client_scope(invoice.client_id):
            page = PdfReader(io.BytesIO(invoice_files.as_pdf(invoice))).pages[0]
        resources: Any = page["/Resources"]
        used = {entry.get_object()["/BaseFont"]: entry.get_object() for entry in resources["/Font"].values()}
        assert used.keys() == {"/Helvetica", "/Helvetica-Bold", font}
        assert f"To: {name}" in page.extract_text()
        assert not font.endswith("Arimo-Regular") or "/FontFile2" in used[font]["/FontDescriptor"]


@pytest.mark.parametrize(("currency", "total", "half"), [("JPY", "780", "390"), ("KWD", "0.780", "0.390")])
def test_a_currency_has_its_own_digits(
    acme: Client, settings: Any, staff: Browser, request: pytest.FixtureRequest, currency: str, total: str, half: str
) -> None:
    settings.CURRENCY = currency
    invoice = request.getfixturevalue("invoice")
    page = f"/admin/billing/invoice/{invoice.pk}"
    assert f"up to {total} {currency}" in staff.get(f"{page}/change/").content.decode()
    refused = staff.post(f"{page}/credit/", {"amount": "1.0001", "reason": "x", "left": 780}, follow=True)
    assert "decimal places" in refused.content.decode()
    made = staff.post(f"{page}/credit/", {"amount": half, "reason": "half of it", "left": 780}, follow=True)
    assert f"over -{half} {currency} is written" in made.content.decode()
    with client_scope(acme.pk):
        assert Invoice.objects.get(kind=Invoice.Kind.CREDIT_NOTE).total_cents == -390
    sums = csv.DictReader(io.StringIO(staff.get(f"{page}/file.csv").content.decode()))
    assert str(sum(Decimal(row["amount"]) for row in sums)) == total
    pdf = PdfReader(io.BytesIO(staff.get(f"{page}/file.pdf").content))
    assert f"{total} {currency}" in pdf.pages[-1].extract_text()


def test_the_desk_shows_the_books_and_changes_none(invoice: Invoice, staff: Browser) -> None:
    invoices.credit(invoice, 1, "for the list")
    for model in (
        "plan",
        "subscription",
        "usagehour",
        "usagerecord",
        "budget",
        "alert",
        "paymentaccount",
        "billingevent",
    ):
        assert staff.get(f"/admin/billing/{model}/").status_code == 200, model
    assert staff.get("/admin/billing/invoice/").content.count(b"file.pdf") == 2
    assert staff.get(f"/admin/billing/invoice/{invoice.pk}/change/").status_code == 200
    assert staff.post(f"/admin/billing/invoice/{invoice.pk}/change/", {"total_cents": 0}).status_code == 403
    assert staff.post(f"/admin/billing/invoice/{invoice.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_download_is_for_staff(invoice: Invoice, client: Browser) -> None:
    assert client.get(f"/admin/billing/invoice/{invoice.pk}/file.pdf").status_code == 302
    client.force_login(User.objects.create_user("temp", password="x", is_staff=True))
    assert client.get(f"/admin/billing/invoice/{invoice.pk}/file.pdf").status_code in (403, 404)


def test_an_invoice_is_answered_with_credit_notes_up_to_its_total(invoice: Invoice, acme: Client) -> None:
    billing, own = browser_of("bill", StaffMember.Role.BILLING), browser_of("own", StaffMember.Role.CLIENT, acme)
    page = f"/admin/billing/invoice/{invoice.pk}/change/"
    path = f"/admin/billing/invoice/{invoice.pk}/credit/"
    assert "up to 7.80 USD" in billing.get(page).content.decode()
    assert "Credit note" not in own.get(page).content.decode()
    note = {"amount": "2.30", "reason": "A bad day", "left": 780}
    assert own.post(path, note).status_code == 403
    made = billing.post(path, note, follow=True).content.decode()
    assert "over -2.30 USD is written" in made and "A bad day" in made
    refusals = {
        "was credited meanwhile: 5.50 USD are left": note,  # the second click
        "At most 5.50 USD": note | {"amount": "5.51", "left": 550},
        "Amount: ": note | {"amount": "all of it"},
        "Reason: ": note | {"reason": " "},
        "decimal places": note | {"amount": "1.001"},
    }
    for why, sent in refusals.items():
        assert why in billing.post(path, sent, follow=True).content.decode()
    billing.post(path, note | {"amount": "5.50", "left": 550})
    assert "up to" not in billing.get(page).content.decode()
    with client_scope(acme.pk):
        assert sorted(Invoice.objects.values_list("total_cents", flat=True)) == [-550, -230, 780]
        (event, *_) = AuditEvent.objects.filter(action="credit").order_by("pk")
    assert (event.actor, event.after["total"], event.after["reason"]) == ("bill", "-2.30 USD", "A bad day")
