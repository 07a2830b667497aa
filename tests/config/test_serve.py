"""What `manage.py serve` prints at the start is true."""

import io
from typing import Any

import pytest
from django.contrib.auth.models import User

from config.management.commands.serve import Command


@pytest.mark.parametrize(
    ("chosen", "told"), [("", "password as-generated"), ("my-own-choice", "the password that you chose")]
)
def test_the_banner_tells_the_password_only_while_it_is_the_password(
    db: None, settings: Any, chosen: str, told: str
) -> None:
    settings.ADMIN_PASSWORD = "as-generated"
    Command()._ensure_admin()
    if chosen:
        user = User.objects.get(username="admin")
        user.set_password(chosen)
        user.save()
    printed = io.StringIO()
    command = Command(stdout=printed)
    command._banner("http://127.0.0.1:8000", None, command._ensure_admin())
    assert f"(user admin, {told})" in printed.getvalue()
    assert ("as-generated" in printed.getvalue()) == (not chosen)
