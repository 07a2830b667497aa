"""Django REST framework's side of tenants/callers.py: `request.auth` (and `request.user`) is the Caller."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from tenants.callers import Caller, Kind, authenticate, note_caller, unauthorised


class CallerAuthentication(BaseAuthentication):
    """Anyone who proves who they are; ApiError 401 or 403 otherwise, never an anonymous request."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller]:
        caller = authenticate(request.headers)
        note_caller(caller)
        return caller, caller


class InternalAuthentication(CallerAuthentication):
    """Express only."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller]:
        caller, _ = super().authenticate(request)
        if caller.kind is not Kind.INTERNAL:
            raise unauthorised()
        return caller, caller


def caller_of(request: Request) -> Caller:
    """The caller of a request that passed one of these; DRF's own types know only users and tokens."""
    caller: Any = request.auth
    return caller
