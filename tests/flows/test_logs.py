"""What the web process and the workers write at INFO while everything is tried, and everything fails: lines of JSON,
of which none holds a key, a message, an answer, a prompt or a document's text."""

import asyncio
import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contracts.llm_server import LlmServer, openai_events, sse, status
from tests.contracts.qdrant_server import Refused, small_qdrant
from tests.flows.installation import Installation, installation
from tests.flows.test_services import make_client, send, wait_for
from tests.knowledge.files import make_pdf
from tests.services import free_port

CANARY = "kanarienvogel"  # in every secret and every text, with a word for where
QUESTION = f"When does the lounge open? {CANARY}message"
KEYS = {
    "x_api_key": f"pk_live_{CANARY}key",
    "Authorization": f"Bearer sk_live_{CANARY}key",
    "X_Internal_Secret": f"{CANARY}secret",
}


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmServer]:
    with LlmServer() as server:
        server.script(openai_events([f"At half past six, {CANARY}answer", " [1]."]))
        yield server


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, llm: LlmServer) -> Iterator[Installation]:
    settings = {
        "LOG_LEVEL": "INFO",
        "PRODUCTION": "1",
        "SECURE_SSL_REDIRECT": "0",
        "ALLOWED_HOSTS": "127.0.0.1",
        "OPENAI_API_KEY": f"sk-{CANARY}providerkey",
        "OPENAI_BASE_URL": llm.openai_url,
        "EMBEDDING_MODEL": "all-minilm-l6-v2",
        "FREE_MODEL": "gpt-4o-mini",
        "PAID_MODEL": "gpt-4o-mini",
        "LLM_FIRST_TOKEN_TIMEOUT": "3",
        "INGEST_RETRY_SECONDS": "0.2",
    }
    with (
        small_qdrant() as qdrant,
        installation(tmp_path_factory.mktemp("logs"), "logs", qdrant, **settings) as product,
    ):
        product.kill_cluster()
        product.environment["METRICS_ADDRESS"] = f"127.0.0.1:{free_port()}"
        product.start_cluster()
        yield product


@pytest.fixture(scope="module")
def lines(product: Installation, llm: LlmServer) -> list[dict[str, Any]]:
    """Everything that was written meanwhile, web process and cluster."""
    client = make_client(product)
    key = client["publishableKey"]
    upload_everything(product, client)
    ask_everywhere(product, key)
    fail_everywhere(product, key, llm)
    lose_the_index(product, client, key)
    directory = Path(product.environment["DATA_DIR"]).parent
    with urllib.request.urlopen(f"http://{product.environment['METRICS_ADDRESS']}/metrics", timeout=30) as response:
        (directory / "metrics.txt").write_bytes(response.read())
    assert product.stop_cluster() == 0
    written = [(directory / name).read_text() for name in ("web.log", "qcluster.log")]
    return [json.loads(line) for text in written for line in text.splitlines()]


def upload_everything(product: Installation, client: dict[str, Any]) -> None:
    text = f"The lounge opens at half past six. {CANARY}document"
    send(product, client, "lounge", make_pdf([text]), "pdf")
    send(product, client, "damaged", make_pdf([text])[:-300].replace(b"endobj", b"endkanarienvogel"), "pdf")
    send(product, client, "empty", b"  \n ")
    for name in ("lounge", "damaged", "empty"):
        wait_for(product, name)
    path = "/api/widget/process-document"
    wrong = {"documentId": "x", "clientId": client["clientId"], "fileType": "pdf", "originalName": f"{CANARY}.pdf"}
    encoded = base64.b64encode(text.encode()).decode()
    headers = {"X_Internal_Secret": product.secret}
    assert product.json("POST", path, {**wrong, "fileData": encoded}, **headers)[0] == 415
    assert product.json("POST", path, {**wrong, "fileData": CANARY}, **headers)[0] == 400
    assert product.json("POST", path, f'{{"fileData": "{CANARY}'.encode(), **headers)[0] == 400
    for name, value in KEYS.items():
        assert product.json("POST", path, wrong, **{name: value})[0] == 401


def ask_everywhere(product: Installation, key: str) -> None:
    body = {"message": QUESTION, "metadata": {"userAgent": CANARY, "customFields": {"note": CANARY}}}
    noise = {"User_Agent": CANARY, "Cookie": f"a={CANARY}", "X_Session_Token": CANARY, "Idempotency_Key": CANARY}
    status, answer = product.json("POST", "/api/widget/chat", body, x_api_key=key, **noise)
    assert status == 200 and f"{CANARY}answer" in answer["response"]
    assert f"{CANARY}answer".encode() in product.request("POST", "/api/widget/chat/stream", body, x_api_key=key)[2]
    asyncio.run(ask_on_a_socket(product.url, key))
    for name, value in KEYS.items():
        assert product.json("POST", "/api/widget/chat", body, **{name: value})[0] == 401
    assert product.json("POST", "/api/widget/chat", {**body, "sessionId": CANARY}, x_api_key=key)[0] == 400
    assert product.json("POST", "/api/widget/chat", f'{{"message": {CANARY}'.encode(), x_api_key=key)[0] == 400
    for path in (
        "/api/widget/config",
        "/nowhere",
        "/api/widget/chat",
        "/admin/login/",
        "/api/widget/documents/x/status",
    ):
        product.request("GET", f"{path}?api_key={key}&message={CANARY}&secret={product.secret}", x_api_key=key)
    product.request("GET", "/health", Host=f"{CANARY}.example.com")
    product.request("POST", "/admin/login/", f"username={CANARY}&password={CANARY}".encode(), Referer=CANARY)


async def ask_on_a_socket(url: str, key: str) -> None:
    async with aiohttp.ClientSession() as session:
        for auth in (key, KEYS["x_api_key"]):
            async with session.ws_connect(f"{url}/ws/widget/chat?api_key={key}") as socket:
                await socket.send_json({"type": "auth", "apiKey": auth})
                await socket.send_json({"type": "ask", "id": CANARY, "message": QUESTION})
                await socket.send_str(f'{{"type": {CANARY}')
                async for message in socket:
                    if message.json().get("event") == "done":
                        break


def fail_everywhere(product: Installation, key: str, llm: LlmServer) -> None:
    """Every way in which a provider fails, each time with the prompt and the key in what it says."""
    said = {"message": f"bad: {QUESTION} {CANARY}", "code": "some_code", "type": "some_type"}
    failures = [
        status(400, body={"error": said}),
        status(401, body={"error": said}),
        status(404, body={"error": {**said, "code": "not_found"}}),
        status(500, body={"error": said}),
        status(429, body={"error": said}, retry_after=0.1),
        [sse({"error": said})],
        [f'data: {{"{CANARY}": 1}}\n\n'.encode()],
        [f"data: {CANARY}\n\n".encode()],
        openai_events([f"{CANARY} half an answer"], finish=None),
    ]
    for number, failure in enumerate(failures):
        llm.script(failure)
        body = {"message": f"{QUESTION} {number}"}
        assert product.json("POST", "/api/widget/chat", body, x_api_key=key)[0] in (502, 504)


def lose_the_index(product: Installation, client: dict[str, Any], key: str) -> None:
    product.qdrant.failures += [Refused(400, f"Wrong input: {CANARY}")] * 2  # a third attempt is the last
    send(product, client, "unlucky", f"Words of {CANARY}".encode())
    wait_for(product, "unlucky")
    product.qdrant.failures[:] = [Refused(500, f"Service internal error: {CANARY}")] * 10
    assert product.json("POST", "/api/widget/chat", {"message": QUESTION + " no"}, x_api_key=key)[0] == 502
    product.qdrant.failures.clear()


def test_no_line_holds_a_canary_or_a_secret(product: Installation, lines: list[dict[str, Any]]) -> None:
    for line in lines:
        text = json.dumps(line, ensure_ascii=False)
        assert CANARY not in text, text
        assert not re.search(r"[ps]k_live_\w|sk-\w", text) and product.secret not in text, text


def test_every_line_is_json_and_the_failures_are_all_there(lines: list[dict[str, Any]]) -> None:
    assert all({"event", "level", "logger", "timestamp"} <= set(line) for line in lines)
    told = {line["event"] for line in lines}
    assert {"search failed", "an attempt failed"} <= told
    assert sum(line["logger"] == "chat.llms.stream" for line in lines) >= 8
    assert any(line["logger"] == "django-q" for line in lines)


def test_lines_name_their_request_their_client_and_their_caller(lines: list[dict[str, Any]]) -> None:
    asked = [line for line in lines if line["logger"] in ("chat.llms.stream", "knowledge.search")]
    assert asked and all(line["caller"] == "widget" for line in asked)
    ingested = [line for line in lines if line["event"] == "an attempt failed"]
    assert ingested and all(line["caller"] == "worker" for line in ingested)
    assert len({line["client_id"] for line in asked + ingested}) == 1
    assert len({line["trace_id"] for line in asked}) >= 8


def test_the_supervisor_tells_what_all_its_workers_counted(product: Installation, lines: list[dict[str, Any]]) -> None:
    text = Path(product.environment["DATA_DIR"]).with_name("metrics.txt").read_text()
    ends = re.findall(r'ingest_attempts_total\{end="(\w+)",file_type="(\w+)"\} (\S+)', text)
    counted = {(end, file_type): float(number) for end, file_type, number in ends}
    assert counted["completed", "pdf"] >= 1 and counted["failed", "txt"] == 1
    assert counted["completed", "txt"] == 1 and counted["postponed", "txt"] >= 1
    assert 'support_chat_ingest_stage_seconds_count{stage="store"}' in text
    assert "support_chat_documents_unfinished 0.0" in text and CANARY not in text
