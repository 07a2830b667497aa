"""What every page of the admin has in common: its scope, its audit, lists that never count millions."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import AdminSite, ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm

from tenants import audit, staff
from tenants.models import Client


class StoppingPaginator(Paginator):
    """Counts no further than MOST rows: a longer list is searched or filtered, not leafed through."""

    MOST = 5_000

    @cached_property
    def count(self) -> int:
        found: Any = self.object_list
        rows = found.order_by().values("pk")  # without what the list shows beside, which would be found for them all
        return min(rows[: self.MOST].count(), self.MOST)

    @property
    def stopped(self) -> bool:
        """Are there perhaps more rows than are counted?"""
        return self.count == self.MOST


class DeskChangeList(ChangeList):
    """Says "show all" only where something is hidden."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count  # type: ignore[assignment]


@dataclass(frozen=True)
class Panel:
    """A part of a client's page. `data(request, client)` is what `template` gets as `data`; None leaves it out."""

    title: str
    template: str
    permission: str
    data: Callable[[HttpRequest, Client], dict[str, Any] | None]
    place: int
    anchor: str
    urls: tuple[tuple[str, str, Callable[..., HttpResponse]], ...] = ()  # (path below the client's, name, view)


_panels: list[Panel] = []


def add_panel(panel: Panel) -> None:
    """Show `panel` on every client's page to who has its permission; called by the apps' admin modules."""
    _panels.append(panel)


def panels(request: HttpRequest, client: Client) -> list[dict[str, Any]]:
    """The panels that this person may see, in their order, with their data."""
    shown = []
    for panel in sorted(_panels, key=lambda panel: panel.place):
        if request.user.has_perm(panel.permission):  # type: ignore[union-attr]
            data = panel.data(request, client)
            if data is not None:
                shown.append({"title": panel.title, "template": panel.template, "anchor": panel.anchor, "data": data})
    return shown


def panel_urls(site: AdminSite) -> list[URLPattern]:
    """The addresses below a client's page that the panels work with."""
    return [
        path(f"<uuid:client_id>/{route}", site.admin_view(view), name=name)
        for panel in _panels
        for route, name, view in panel.urls
    ]


def for_client(permission: str) -> Callable[[Any], Callable[..., HttpResponse]]:
    """A panel's view `(request, client, …)`: 403 without the permission, 404 for a client that is not one's own."""

    def decorate(view: Any) -> Callable[..., HttpResponse]:
        @wraps(view)
        def checked(request: HttpRequest, client_id: uuid.UUID, **values: Any) -> HttpResponse:
            if not request.user.has_perm(permission):  # type: ignore[union-attr]
                raise PermissionDenied
            client = get_object_or_404(clients_of(request), pk=client_id)
            request.audit_about = client  # type: ignore[attr-defined]
            return view(request, client, **values)

        return checked

    return decorate


def back_to(client: Client, anchor: str) -> HttpResponse:
    """To a panel of a client's page."""
    return HttpResponseRedirect(reverse("admin:tenants_client_change", args=(client.pk,)) + f"#{anchor}")


def clients_of(request: HttpRequest) -> QuerySet[Client]:
    """The clients that this person may know of."""
    only = staff.only_client(request.user)
    if only is not None:
        return Client.objects.filter(pk=only)
    return Client.objects.all() if staff.works_for_all(request.user) else Client.objects.none()


# The theme's files of a field that searches as one types; with Django's own as well it would be set up twice.
CHOOSER_MEDIA = forms.Media(AutocompleteDropdownForm.Media)


class Chooser(AutocompleteSelect):
    """A field of rows that searches as one types. What can't be an id, in an address or a form, chooses nothing."""

    known: Model | None = None  # a row that was read already, and need not be again to be shown

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        if self.known is not None and value == [str(self.known.pk)]:
            groups = super().optgroups(name, [], attr)
            label, options = self.choices.field.label_from_instance(self.known), groups[0][1]
            options.append(self.create_option(name, self.known.pk, label, True, len(options)))
            return groups
        try:
            return super().optgroups(name, value, attr)
        except (ValidationError, ValueError):
            return super().optgroups(name, [], attr)


class WithChoosers:
    """Forms whose `autocomplete_fields` are Choosers."""

    get_autocomplete_fields: Callable[[HttpRequest], Any]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        found: Any = super()
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", Chooser(db_field, admin.site))
        return found.formfield_for_foreignkey(db_field, request, **kwargs)


def choose_client(field: Any, request: HttpRequest, model: type[Model], attributes: dict[str, str]) -> None:
    """Make a form's field of clients one that offers this person's clients by name, however many there are.

    `model` is one that belongs to a client: the admin looks for clients by its foreign key.
    """
    shown = {"class": "unfold-filter-autocomplete", **attributes}
    field.widget = Chooser(model._meta.get_field("client"), admin.site, attrs=shown)
    field.widget.choices = field.choices
    field.queryset = clients_of(request)


class DeskAdmin(WithChoosers, ModelAdmin):
    """Base of the product's admin pages."""

    paginator = StoppingPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they count each filter's rows to the end
    list_per_page = 50
    list_filter_submit = True
    list_horizontal_scrollbar_top = False
    help_texts: dict[str, str] = {}  # how a form's fields are filled in, where the model doesn't say it

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **{"help_texts": self.help_texts, **kwargs})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeskChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        request.audit_about = found  # type: ignore[attr-defined]
        return found

    def row(self, request: HttpRequest, object_id: str | int) -> Any:
        """The row, for who may look at it; 403 without the permission, 404 for one that is not theirs."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_object(request, str(object_id))
        if found is None:
            raise Http404
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Whose a row is never changes."""
        fixed = super().get_readonly_fields(request, obj)
        return (*fixed, "client") if obj and "client" in self.autocomplete_fields else fixed

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Refused as such: Django first looks for the row, which who may not look at it may not find."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def get_list_display(self, request: HttpRequest) -> Any:
        """A person with one client needs no column of clients."""
        shown = super().get_list_display(request)
        return [name for name in shown if name != "client"] if staff.only_client(request.user) else shown

    def get_list_filter(self, request: HttpRequest) -> Any:
        filters = super().get_list_filter(request)
        if staff.only_client(request.user):
            return [f for f in filters if f != CLIENT_FILTER]
        return filters

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        fields = super().get_autocomplete_fields(request)
        return [name for name in fields if name != "client"] if staff.only_client(request.user) else fields

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.related_model is Client:
            kwargs["queryset"] = clients_of(request)
            kwargs.setdefault("initial", staff.only_client(request.user))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def log_addition(self, *args: Any) -> None:
        """The audit remembers; Django's own history would keep the names of what has been erased."""

    log_change = log_deletions = log_addition

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        before = audit.snapshot(type(obj)._default_manager.get(pk=obj.pk)) if change else {}
        super().save_model(request, obj, form, change)
        audit.note(request, "change" if change else "add", obj, before, audit.snapshot(obj))

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        audit.note(request, "delete", obj, audit.snapshot(obj))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset:
            self.delete_model(request, row)


CLIENT_FILTER = ("client", AutocompleteSelectFilter)


class ReadOnly:
    """Facts, made by the program: looked at, never edited."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
