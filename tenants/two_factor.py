"""Setting up, and giving up, the second factor of one's own account."""

import base64
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants import audit

NAME = "authenticator app"


def enrolled(user: Any) -> bool:
    return TOTPDevice.objects.filter(user=user, confirmed=True).exists()


def forget(user: Any) -> None:
    """From now on the password alone is enough."""
    TOTPDevice.objects.filter(user=user).delete()


@never_cache
def set_up(request: HttpRequest) -> HttpResponse:
    """Show a code to scan; the first right code from the app switches the second factor on."""
    if enrolled(request.user):
        return _enrolled(request)
    device, _ = TOTPDevice.objects.get_or_create(user=request.user, confirmed=False, defaults={"name": NAME})
    wrong = False
    if request.method == "POST":
        if device.verify_token(request.POST.get("code", "").replace(" ", "")):
            with transaction.atomic():
                TOTPDevice.objects.filter(pk=device.pk).update(confirmed=True)
                audit.note(request, "two-factor on", request.user)  # type: ignore[arg-type]
            messages.success(request, "From now on you log in with your password and a code from the app.")
            return HttpResponseRedirect(reverse("admin:index"))
        wrong = True
    secret = base64.b32encode(device.bin_key).decode()
    context = {"drawing": drawing(device.config_url), "secret": secret, "wrong": wrong}
    return _page(request, "Two-factor login", context)


def _enrolled(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        device = TOTPDevice.objects.filter(user=request.user, confirmed=True).first()
        if device and device.verify_token(request.POST.get("code", "").replace(" ", "")):
            with transaction.atomic():
                forget(request.user)
                audit.note(request, "two-factor off", request.user)  # type: ignore[arg-type]
            messages.success(request, "You log in with your password alone.")
            return HttpResponseRedirect(reverse("admin:index"))
        return _page(request, "Two-factor login", {"on": True, "wrong": True})
    return _page(request, "Two-factor login", {"on": True})


def _page(request: HttpRequest, title: str, context: dict[str, Any]) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, "admin/desk/two_factor.html", context)


def drawing(text: str) -> SafeString:
    """A QR code as SVG, drawn here: the secret goes to nobody else."""
    from reportlab.graphics.barcode.qrencoder import QRCode, QRErrorCorrectLevel  # half a second at first use

    code = QRCode(None, QRErrorCorrectLevel.M)
    code.addData(text)
    code.make()
    size = code.getModuleCount()
    squares = "".join(f"M{x} {y}h1v1h-1z" for y in range(size) for x in range(size) if code.isDark(y, x))
    return mark_safe(  # numbers and fixed words only
        f'<svg viewBox="-2 -2 {size + 4} {size + 4}" width="220" height="220" role="img" aria-label="QR code">'
        f'<rect x="-2" y="-2" width="{size + 4}" height="{size + 4}" fill="#fff"/>'
        f'<path d="{squares}" fill="#000"/></svg>'
    )
