"""Invoices at the desk: read, downloaded, and answered with a credit note, never changed."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.admin import TabularInline
from unfold.decorators import display

from billing import invoices
from billing.models import Invoice, InvoiceLine
from billing.money import digits, money
from tenants import audit
from tenants.desk import DeskAdmin, Panel, ReadOnly, add_panel
from tenants.models import Client

INVOICES_SHOWN = 12
MAY_CREDIT = "billing.add_invoice"  # a credit note is one of the invoices


class CreditForm(forms.Form):
    reason = forms.CharField(max_length=500)
    left = forms.IntegerField()  # cents that the page showed: a second click finds another figure

    def __init__(self, data: Any, currency: str):
        super().__init__(data)
        self.fields["amount"] = forms.DecimalField(min_value=0, max_digits=16, decimal_places=digits(currency))


class InvoiceLineInline(ReadOnly, TabularInline):
    model = InvoiceLine
    fields = readonly_fields = ("position", "kind", "description", "requests", "quantity", "amount")
    extra = 0
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("invoice")

    @display(description="Amount")
    def amount(self, line: InvoiceLine) -> str:
        return money(line.amount_cents, line.invoice.currency)


@admin.register(Invoice)
class InvoiceAdmin(ReadOnly, DeskAdmin):
    list_display = ("number", "kind", "month", "client_name", "total", "issued", "files")
    list_filter = ("kind", "month")
    search_fields = ("number", "client_name")
    fields = ("number", "kind", "client", "client_name", "month", "total", "credits", "reason", "issued", "files")
    readonly_fields = fields
    inlines = (InvoiceLineInline,)
    change_form_outer_after_template = "admin/desk/credit.html"

    @display(description="Total", ordering="total_cents")
    def total(self, invoice: Invoice) -> str:
        return money(invoice.total_cents, invoice.currency)

    @display(description="Files")
    def files(self, invoice: Invoice) -> str:
        links = [reverse("admin:billing_invoice_file", args=(invoice.pk, kind)) for kind in ("pdf", "csv")]
        return format_html('<a href="{}">PDF</a> <a href="{}">CSV</a>', *links)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/file.<str:kind>", view(self.file_view), name="billing_invoice_file"),
            path("<int:pk>/credit/", view(require_POST(self.credit)), name="billing_invoice_credit"),
            *super().get_urls(),
        ]

    def file_view(self, request: HttpRequest, pk: int, kind: str) -> HttpResponse:
        """The invoice as a download, "pdf" or "csv"."""
        from billing import invoice_files  # draws PDFs: half a second that every start would pay

        invoice = self.row(request, pk)
        if kind == "pdf":
            response = HttpResponse(invoice_files.as_pdf(invoice), content_type="application/pdf")
        else:
            response = HttpResponse(invoice_files.as_csv(invoice), content_type="text/csv; charset=utf-8")
            kind = "csv"
        response["Content-Disposition"] = f'attachment; filename="{invoice.number}.{kind}"'
        return response

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, obj: Any = None, **more: Any) -> Any:
        if obj and request.user.has_perm(MAY_CREDIT) and (left := invoices.creditable(obj)):  # type: ignore[union-attr]
            context |= {"left": left, "left_money": money(left, obj.currency)}
        return super().render_change_form(request, context, *args, obj=obj, **more)

    def credit(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Write a credit note; its page shows it."""
        invoice = self.row(request, pk)
        if not request.user.has_perm(MAY_CREDIT):  # type: ignore[union-attr]
            raise PermissionDenied
        form = CreditForm(request.POST, invoice.currency)
        if not form.is_valid():
            found = [f"{name.capitalize()}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()]
            return self._refused(request, invoice, " ".join(found))
        asked = form.cleaned_data
        try:
            cents = int(asked["amount"].scaleb(digits(invoice.currency)))
            note = invoices.credit(invoice, cents, asked["reason"], left=asked["left"])
        except ValueError as error:
            return self._refused(request, invoice, str(error))
        total = money(note.total_cents, note.currency)
        audit.note(request, "credit", invoice, {}, {"number": note.number, "total": total, "reason": note.reason})
        messages.success(request, f"Credit note {note.number} over {total} is written.")
        return HttpResponseRedirect(reverse("admin:billing_invoice_change", args=(note.pk,)))

    def _refused(self, request: HttpRequest, invoice: Invoice, why: str) -> HttpResponse:
        messages.error(request, f"Nothing was credited. {why}")
        return HttpResponseRedirect(reverse("admin:billing_invoice_change", args=(invoice.pk,)) + "#credit")


def _invoices(request: HttpRequest, client: Client) -> dict[str, Any]:
    invoices = list(Invoice.objects.filter(client=client)[:INVOICES_SHOWN])
    return {"invoices": [(invoice, money(invoice.total_cents, invoice.currency)) for invoice in invoices]}


add_panel(Panel("Invoices", "admin/desk/invoices.html", "billing.view_invoice", _invoices, 60, "invoices"))
