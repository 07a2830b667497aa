"""What `manage.py serve` prints at the start is true."""

import io
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from config.management.commands import serve, web
from config.management.commands.serve import Command


@pytest.fixture
def handler() -> Iterator[None]:
    """What Ctrl-C does in the tests is as it was before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


class Stopped(Exception):
    """The start has come so far."""


def _stop(*_: Any, **__: Any) -> None:
    raise Stopped


@pytest.mark.parametrize("command", [serve.Command(), web.Command()])
def test_ctrl_c_ends_a_start_at_once(command: Any, handler: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an exception it would be lost where it meets a callback of a weak reference, and the start would go on."""
    monkeypatch.setattr(serve, "call_command", _stop)
    monkeypatch.setitem(sys.modules, "config.asgi", None)
    with pytest.raises((Stopped, ImportError)):
        command.handle(host="127.0.0.1", port=1, no_demo=True)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


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
