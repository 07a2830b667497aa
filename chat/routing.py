"""Routes that Channels serves: the ones that wait for a model."""

from django.urls import path

from chat.consumers import ChatConsumer, ResumeConsumer, StreamConsumer
from chat.people.desk import DeskConsumer
from chat.people.stream import PeopleConsumer
from chat.websocket import WidgetConsumer

http_routes = [
    path("api/widget/chat", ChatConsumer.as_asgi()),
    path("api/widget/chat/stream", StreamConsumer.as_asgi()),
    path("api/widget/chat/stream/<id:trace_id>", ResumeConsumer.as_asgi()),
    path("api/widget/sessions/<id:session_id>/events", PeopleConsumer.as_asgi()),
]
websocket_routes = [
    path("ws/widget/chat", WidgetConsumer.as_asgi()),
    path("ws/desk/conversations/<int:pk>", DeskConsumer.as_asgi()),
]
