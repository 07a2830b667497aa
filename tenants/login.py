"""The way into the admin: name, password, and the code of an authenticator app where one is enrolled."""

from importlib import import_module
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import ValidationError
from django_otp import devices_for_user, match_token
from unfold.forms import AuthenticationForm

from tenants import staff, two_factor
from tenants.audit import address_of

LOCKED = "Too many wrong attempts. Wait {minutes} minutes, then try again."


class LoginForm(AuthenticationForm):
    """A wrong code counts as a failure like a wrong password, and is told apart from it only by who knows that."""

    code = forms.CharField(
        label="Code",
        required=False,
        max_length=12,
        help_text="From your authenticator app. Leave it empty if you have set up none.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].widget.attrs["class"] = self.fields["username"].widget.attrs["class"]

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username") or ""
        if username and not staff.begin_attempt(username, address_of(self.request)):
            minutes = int(staff.LOCKOUT_PERIOD.total_seconds() // 60)
            raise ValidationError(LOCKED.format(minutes=minutes), code="locked")
        cleaned = super().clean()
        user = self.get_user()
        if user is not None:
            self._check_code(user)
            staff.succeeded(username, address_of(self.request))
        return cleaned

    def _check_code(self, user: Any) -> None:
        if (
            any(devices_for_user(user))
            and match_token(user, self.cleaned_data.get("code", "").replace(" ", "")) is None
        ):
            self.user_cache = None
            raise self.get_invalid_login_error()


def logged_in(request: Any) -> Any:
    """The person at the desk behind a request's cookie, as the middlewares would find; None where there is none.

    For doors that Django's middlewares don't serve; sets `request.session` and `request.user`.
    """
    store: Any = import_module(settings.SESSION_ENGINE)
    request.session = store.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.user = user = get_user(request)
    if not (user.is_active and getattr(user, "is_staff", False)) or staff.too_old(request):
        return None
    return None if settings.REQUIRE_TWO_FACTOR and not two_factor.enrolled(user) else user
