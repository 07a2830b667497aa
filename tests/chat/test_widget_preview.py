"""The desk shows the widget in a frame; the policies of both pages allow just that."""

import re

from django.contrib.auth.models import User
from django.test import Client as Browser

from tenants.models import Client


def test_the_preview_may_be_framed_by_the_desk_and_by_nobody_else(acme: Client) -> None:
    browser = Browser()
    browser.force_login(User.objects.create_superuser("boss"), "tenants.staff.RoleBackend")
    page = browser.get(f"/admin/tenants/client/{acme.pk}/change/")
    assert "frame-src 'self'" in page["Content-Security-Policy"]
    preview = browser.get(f"/admin/tenants/client/{acme.pk}/widget/?primary_color=%23c2185b")
    assert (preview.status_code, preview["X-Frame-Options"]) == (200, "SAMEORIGIN")
    policy, body = preview["Content-Security-Policy"], preview.content.decode()
    nonce = re.search(r"script-src 'self' 'nonce-([\w-]+)'", policy)
    assert nonce and "frame-ancestors 'self'" in policy
    assert re.findall(r'<script nonce="([\w-]+)">', body) == [nonce[1], nonce[1]]
    assert "#c2185b" in body
