"""Ids in addresses may be written in upper case, as iOS writes them."""

import json
import uuid

import pytest
from django.test import AsyncClient

from tenants.models import Client
from tests.chat.conversation import QUESTION, call, stream
from tests.contracts.llm_server import LlmServer

pytestmark = pytest.mark.django_db(transaction=True)


async def test_an_id_in_upper_case_is_the_same_id(shop: Client, acme_key: str, provider: LlmServer) -> None:
    session = str(uuid.uuid4()).upper()
    answer = await stream(acme_key, {"message": QUESTION, "sessionId": session})
    start = json.loads(dict(answer.events)["start"])
    trace = start["traceId"].upper()
    headers = {"x-api-key": acme_key, "x-session-token": start["sessionToken"]}
    resumed = await call("GET", f"/api/widget/chat/stream/{trace}", **headers)
    assert (resumed.status, resumed.body) == (200, answer.body)

    visitor, rating = AsyncClient(), {"rating": "up"}
    path = f"/api/widget/messages/{trace}/feedback"
    assert (await visitor.post(path, rating, "application/json", headers=headers)).status_code == 204
    upper, lower = [
        (await visitor.get(f"/api/widget/sessions/{id}/messages", headers=headers)).json()["messages"]
        for id in (session, session.lower())
    ]
    assert upper == lower and [turn.get("rating") for turn in upper] == [None, "up"]
