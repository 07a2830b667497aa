"""Doors that ask no model: the widget's looks, and a visitor's own session."""

import uuid
from typing import Any

from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import visitors
from chat.people import feed
from chat.people import visitors as people
from chat.serializers import AddressSerializer, FeedbackSerializer
from tenants.authentication import CallerAuthentication, caller_of
from tenants.callers import Kind, require_scope
from tenants.cors import cors_headers, preflight_headers
from tenants.models import WidgetConfig
from tenants.scoping import client_scope
from tenants.streamed import json_download


class WidgetView(APIView):
    """A route that browsers call across origins. A preflight carries no key, so it is answered unjudged."""

    authentication_classes = [CallerAuthentication]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method != "OPTIONS":
            super().initial(request, *args, **kwargs)
            require_scope(caller_of(request), "chat")

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        return Response(status=204, headers=preflight_headers(request.headers))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if request.method != "OPTIONS":
            headers = {**cors_headers(request.headers), "Cache-Control": "no-store"}  # a visitor's own, or a key's
            for name, value in headers.items():
                response.headers.setdefault(name, value)
        return response

    def client_id(self) -> uuid.UUID:
        """The caller's client; the internal caller names one as `clientId` in the body or with ?clientId=."""
        caller = caller_of(self.request)
        named: Any = self.request.query_params.get("clientId")
        if not named and caller.kind is Kind.INTERNAL:
            body: Any = self.request.data  # an object: tenants/parsers.py
            named = body.get("clientId")
        return caller.acting_for(named).pk

    def token(self) -> str | None:
        return self.request.headers.get("X-Session-Token")


class Config(WidgetView):
    def get(self, request: Request) -> Response:
        with client_scope(self.client_id()):
            config = WidgetConfig.objects.first() or WidgetConfig()
            support = people.support()
        widget = {
            **config.options,
            "primaryColor": config.primary_color,
            "position": config.position,
            "welcomeMessage": config.welcome_message,
            "widgetName": config.widget_name,
            **({"people": support} if support else {}),
        }
        return Response({"widget": widget})


class SessionMessages(WidgetView):
    def get(self, request: Request, session_id: uuid.UUID) -> Response:
        return Response({"messages": visitors.messages(self.client_id(), session_id, self.token())})


class Person(WidgetView):
    """Ask for a person to come."""

    def post(self, request: Request, session_id: uuid.UUID) -> Response:
        client_id = self.client_id()
        state = people.ask(client_id, session_id, self.token())
        async_to_sync(feed.tell)(client_id, session_id)
        return Response(state)


class Address(WidgetView):
    """Leave an e-mail address."""

    def post(self, request: Request, session_id: uuid.UUID) -> Response:
        serializer = AddressSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        people.leave_address(self.client_id(), session_id, self.token(), serializer.validated_data["email"])
        return Response(status=204)


class SessionExport(WidgetView):
    def get(self, request: Request, session_id: uuid.UUID) -> StreamingHttpResponse:
        pieces = visitors.export(self.client_id(), session_id, self.token())
        return json_download(pieces, f"conversation-{session_id}.json")


class SessionDetail(WidgetView):
    def delete(self, request: Request, session_id: uuid.UUID) -> Response:
        """204; with `?receipt=true` 200 and what was erased."""
        receipt = visitors.erase(self.client_id(), session_id, self.token())
        if request.query_params.get("receipt") == "true":
            return Response(receipt)
        return Response(status=204)


class Feedback(WidgetView):
    def post(self, request: Request, trace_id: uuid.UUID) -> Response:
        serializer = FeedbackSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = serializer.validated_data
        visitors.rate(self.client_id(), trace_id, self.token(), fields["rating"], fields.get("comment") or "")
        return Response(status=204)
