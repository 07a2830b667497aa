"""Clients, widgets, keys, the staff and the audit at the desk."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import StackedInline
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminColorInputWidget, UnfoldAdminTextareaWidget

from tenants import audit, keys, staff, two_factor
from tenants.desk import CLIENT_FILTER, DeskAdmin, ReadOnly, WithChoosers, clients_of, panel_urls, panels
from tenants.models import ApiKey, AuditEvent, Client, StaffMember, WidgetConfig
from tenants.staff import ATTEMPT, LOGIN

STATUS_LABELS = {"active": "success", "paused": "warning", "disabled": "danger"}
TERMS = ("status", "tier", "model", "hourly_limit", "hard_cap", "overage_cents")  # what changes bills or service
DOMAINS_HELP = "Where the widget may run, one a line: example.com, or *.example.com. Empty: anywhere (paid tier)."
OPTIONS_HELP = (
    'More of the widget’s settings, as JSON: {"suggestedQuestions": ["When are you open?"], "theme": "dark"}. '
    "Also size, avatar, launcherText, locale, texts and others, which chat/widget/README.md describes."
)
PRICES = ("overage_cents",)
ANSWERS = (
    "name",
    "allowed_domains",
    "require_origin",
    "instructions",
    "no_answer_text",
    "alert_threshold",
    "alert_email",
)


class DomainsField(forms.CharField):
    """A list of domains, written one a line; the model says which are any."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 4})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line for line in map(str.strip, (value or "").splitlines()) if line]


@admin.register(Client)
class ClientAdmin(DeskAdmin):
    """A client's page: its settings, and below them what the other apps show of it (tenants.desk.Panel)."""

    list_display = ("name", "state", "tier", "created")
    list_filter = ("status", "tier")
    search_fields = ("name", "id")
    search_help_text = "Search by name or id"
    readonly_fields = ("id", "created")
    change_form_template = "admin/desk/form_with_panels.html"
    change_form_outer_before_template = "admin/desk/client_links.html"
    change_form_outer_after_template = "admin/desk/client_panels.html"
    fieldsets = (
        ("Client", {"classes": ["tab"], "fields": ("name", "status", "tier", "id", "created")}),
        ("Domains", {"classes": ["tab"], "fields": ("allowed_domains", "require_origin")}),
        ("Answers", {"classes": ["tab"], "fields": ("model", "instructions", "no_answer_text")}),
        (
            "Limits",
            {
                "classes": ["tab"],
                "fields": ("hourly_limit", "hard_cap", "overage_cents", "alert_threshold", "alert_email"),
            },
        ),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "allowed_domains":
            return DomainsField(required=False, help_text=DOMAINS_HELP)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> Any:
        return clients_of(request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """A client's own staff's was read with their role."""
        own = staff.own_client(request.user)
        if own is None or str(own.pk) != object_id:
            return super().get_object(request, object_id, from_field)
        request.audit_about = own  # type: ignore[attr-defined]
        return own

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Terms and answers are changed by different people."""
        fixed = list(self.readonly_fields)
        fixed += [] if request.user.has_perm("tenants.change_terms") else TERMS  # type: ignore[union-attr]
        fixed += [] if request.user.has_perm("tenants.change_answers") else ANSWERS  # type: ignore[union-attr]
        return fixed

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Prices are for those who may see money, and an id for a client that has one."""
        may = request.user.has_perm  # type: ignore[union-attr]
        hidden: tuple[str, ...] = () if may("tenants.change_terms") or may("billing.view_invoice") else PRICES
        hidden += () if obj else self.readonly_fields  # they are made with the row: the form could only invent them
        return tuple(
            (title, {**shown, "fields": tuple(name for name in shown["fields"] if name not in hidden)})
            for title, shown in self.fieldsets
        )

    def get_urls(self) -> Any:
        return [*panel_urls(self.admin_site), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, obj: Any = None, **more: Any) -> Any:
        """The panels show what is stored, not what a form that was refused has made of the client."""
        client = Client.objects.get(pk=obj.pk) if obj and request.method == "POST" else obj
        if client:
            context |= {"panels": panels(request, client), "client": client}
        return super().render_change_form(request, context, *args, obj=obj, **more)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # `manage.py delete_client` erases a client with everything of it, and leaves a receipt

    @display(description="status", label=STATUS_LABELS, ordering="status")
    def state(self, client: Client) -> str:
        return client.status


@admin.register(WidgetConfig)
class WidgetConfigAdmin(DeskAdmin):
    list_display = ("widget_name", "client", "colour", "position")
    search_fields = ("client__name", "widget_name")
    change_form_template = "admin/desk/form_with_panels.html"
    change_form_outer_after_template = "admin/desk/widget_form_preview.html"
    list_select_related = ("client",)
    autocomplete_fields = ("client",)
    help_texts = {"options": OPTIONS_HELP}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "primary_color":
            kwargs["widget"] = UnfoldAdminColorInputWidget
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @display(description="colour", ordering="primary_color")
    def colour(self, config: WidgetConfig) -> str:
        swatch = '<span class="desk-swatch" style="background:{}"></span> {}'
        return format_html(swatch, config.primary_color, config.primary_color)


def revoke(request: HttpRequest, key: ApiKey) -> None:
    """Revoke a key, and note it."""
    before = audit.snapshot(key)
    keys.revoke(key)
    key.refresh_from_db()
    audit.note(request, "revoke key", key, before, audit.snapshot(key))


@admin.register(ApiKey)
class ApiKeyAdmin(DeskAdmin):
    """Every key that there is. Keys are made and rotated on their client's page; here they are found and revoked."""

    list_display = ("hint", "client", "kind", "name", "scopes", "last_used", "expires", "revoked")
    list_filter = ("kind", CLIENT_FILTER)
    search_fields = ("hint", "name", "client__name")
    list_select_related = ("client",)
    fields = list_display
    readonly_fields = list_display
    actions = ("revoke_keys",)
    search_help_text = "Search by hint, name or client, or for a whole key"

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Whoever found a key somewhere may put it in as it is; only its digest is stored."""
        if keys.well_formed(found := search_term.strip()):
            return queryset.filter(digest__in=keys.digests(found)), False
        return super().get_search_results(request, queryset, search_term)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke_keys(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset.filter(revoked=None):
            revoke(request, row)
        messages.success(request, "Revoked: they stop working within two seconds.")


class RoleForm(forms.ModelForm):
    """Whoever adds a role means it, even with its values as they were offered."""

    def has_changed(self) -> bool:
        return self.instance._state.adding or super().has_changed()

    def clean(self) -> Any:
        values = super().clean() or self.cleaned_data
        if values.get("role") == StaffMember.Role.CLIENT and not values.get("client") and "client" not in self.errors:
            self.add_error("client", "Choose the client whose staff this is.")
        return values


class StaffMemberInline(WithChoosers, StackedInline):
    model = StaffMember
    form = RoleForm
    extra = 0
    max_num = 1
    verbose_name = verbose_name_plural = "Role at the desk"
    autocomplete_fields = ("client",)


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, DeskAdmin):  # type: ignore[misc]  # the paginator is DeskAdmin's
    """People of the desk. A role gives them exactly its rights; superusers need none."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = (StaffMemberInline,)
    list_display = ("username", "role", "only", "is_superuser", "is_active", "last_login")
    list_filter = ("is_active", "is_superuser", "staff_member__role")
    list_select_related = ("staff_member__client",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    actions = ("take_second_factor",)

    @admin.action(description="Take away the second factor (a lost phone)", permissions=["change"])
    def take_second_factor(self, request: HttpRequest, queryset: Any) -> None:
        """They log in with the password alone, and can enrol a new phone."""
        for user in queryset:
            before = {"enrolled": two_factor.enrolled(user)}
            audit.note(request, "two-factor taken away", user, before, {"enrolled": False})
            two_factor.forget(user)
        messages.success(request, "They log in with their password alone until they set up a new phone.")

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            audit.note(request, "change password", User.objects.get(pk=id))
        return response

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Whoever gets a role may log in to the desk; the role itself is audited."""
        held = StaffMember.objects.filter(user=form.instance).first()
        super().save_formset(request, form, formset, change)
        now = StaffMember.objects.filter(user=form.instance).first()
        if now and not form.instance.is_staff:
            User.objects.filter(pk=form.instance.pk).update(is_staff=True)
        before, after = (audit.snapshot(row) if row else {} for row in (held, now))
        if before != after:
            audit.note(request, "change role", form.instance, before, after, now.client_id if now else None)

    @display(description="role")
    def role(self, user: User) -> str:
        return "superuser" if user.is_superuser else getattr(getattr(user, "staff_member", None), "role", "none")

    @display(description="only for")
    def only(self, user: User) -> str:
        return str(getattr(getattr(user, "staff_member", None), "client", None) or "")


class ActionFilter(admin.SimpleListFilter):
    """The commonest kinds of events; looking for them all would read every row."""

    title = "what was done"
    parameter_name = "did"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in ("view", "add", "change", "delete", "make key", "revoke key", LOGIN, ATTEMPT)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, DeskAdmin):
    """Who did what, and who looked at what across clients."""

    list_display = ("at", "actor", "action", "subject", "about", "address")
    list_filter = (ActionFilter,)
    search_fields = ("actor", "name", "object", "client_id")
    search_help_text = "Search by person, row or client id"
    fields = ("at", "actor", "address", "action", "name", "object", "client_id", "before", "after")

    @display(description="what")
    def subject(self, event: AuditEvent) -> str:
        return event.name or event.object

    @display(description="client")
    def about(self, event: AuditEvent) -> str:
        return str(event.client_id or "")
