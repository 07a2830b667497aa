"""The product as `make run` starts it: no service, no key, from upload to a cited, streamed answer."""

import base64
import html
import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.product import Product, events, served
from tests.knowledge.files import make_pdf

QUESTION = "How long do I have to return boots?"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with served(tmp_path_factory.mktemp("product")) as product:
        yield product


def test_a_newcomer_asks_the_demo(product: Product) -> None:
    for name in ("Demo page", "Admin", "password", "Widget key", "curl"):
        assert name in product.banner
    answer = demo_answer(product)
    assert "[1]" in answer["response"]
    assert {source["title"] for source in answer["sources"]} <= demo_titles()
    source = answer["sources"][0]
    assert set(source) >= {"documentId", "title", "excerpt", "score", "chunkIndex", "page", "start", "end"}


def test_the_same_question_streams(product: Product) -> None:
    whole = demo_answer(product)
    status, headers, body = product.request(
        "POST", "/api/widget/chat/stream", {"message": QUESTION}, x_api_key=product.widget_key
    )
    found = events(body)
    names = [name for name, _ in found]
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "text/event-stream", "no-cache")
    assert names[0] == "start" and names[-3:] == ["sources", "usage", "done"] and set(names[1:-3]) == {"chunk"}
    assert "".join(data for name, data in found if name == "chunk") == whole["response"]
    assert json.loads(found[-3][1]) == whole["sources"]
    assert found[-1] == ("done", "[DONE]")


def test_what_the_documents_do_not_answer_is_refused(product: Product) -> None:
    status, answer = product.json(
        "POST", "/api/widget/chat", {"message": "Who won the chess world cup in 1987?"}, x_api_key=product.widget_key
    )
    assert (status, answer["sources"]) == (200, [])


def test_an_upload_answers_and_a_deletion_stops_it(product: Product) -> None:
    client_id = demo_client(product)
    pdf = make_pdf(["The Acme lounge opens at half past six in the evening, and dogs are welcome there."])
    upload = {"documentId": "lounge", "clientId": client_id, "fileType": "pdf", "originalName": "lounge.pdf"}
    headers = {"X_Internal_Secret": product.secret}
    status, accepted = product.json(
        "POST", "/api/widget/process-document", {**upload, "fileData": base64.b64encode(pdf).decode()}, **headers
    )
    assert (status, accepted["status"], accepted["documentId"]) == (202, "pending", "lounge")
    done = product.wait_until(
        "/api/widget/documents/lounge/status", lambda body: body["status"] in ("completed", "failed"), **headers
    )
    assert (done["status"], done["progress"], done["errorMessage"]) == ("completed", 100, None)
    ask = {"message": "When does the lounge open?"}
    _, answer = product.json("POST", "/api/widget/chat", ask, x_api_key=product.widget_key)
    assert answer["sources"][0]["documentId"] == "lounge"
    assert "half past six" in answer["sources"][0]["excerpt"]

    rebuilt = product.manage("reindex", "--client", client_id, "--document", "lounge")
    assert "1 passages of 1 documents rebuilt" in rebuilt.stdout, rebuilt.stderr

    assert product.request("DELETE", "/api/widget/documents/lounge", **headers)[0] == 204
    _, answer = product.json("POST", "/api/widget/chat", ask, x_api_key=product.widget_key)
    assert "lounge" not in [source["documentId"] for source in answer["sources"]]
    assert product.json("GET", "/api/widget/documents/lounge/status", **headers)[0] == 404


def test_no_file_holds_what_was_erased(product: Product) -> None:
    """Of a visitor's conversation, and of a whole client: SQLite's pages and its log neither."""
    words, key, secret = "kanarienvogel", product.widget_key, {"X_Internal_Secret": product.secret}
    metadata = {"customFields": {"note": words}}
    asked = {"message": f"{QUESTION} My name is {words}.", "metadata": metadata}
    answer = product.json("POST", "/api/widget/chat", asked, x_api_key=key, Idempotency_Key=words)[1]
    assert files_with(product, words)
    session = f"/api/widget/sessions/{answer['sessionId']}"
    assert product.request("DELETE", session, x_api_key=key, X_Session_Token=answer["sessionToken"])[0] == 204
    assert files_with(product, words) == set()

    client = json.loads(product.manage("create_client", "--name", words, "--json").stdout)
    text = base64.b64encode(f"The lounge of {words} opens at noon.".encode()).decode()
    upload = {"documentId": words, "clientId": client["clientId"], "fileType": "txt", "fileData": text}
    product.json("POST", "/api/widget/process-document", upload, **secret)
    product.wait_until(f"/api/widget/documents/{words}/status", lambda body: body["status"] == "completed", **secret)
    assert files_with(product, words) > {"db.sqlite3-wal"}
    erasure = f"/api/widget/internal/clients/{client['clientId']}/erasure"
    assert product.request("POST", erasure, {}, **secret)[0] == 202
    product.wait_until(erasure, lambda body: body["finished"], **secret)
    assert files_with(product, words) == set()


def test_a_corrupt_file_fails_in_words(product: Product) -> None:
    broken = base64.b64encode(b"%PDF-1.7\n" + b"garbage" * 50).decode()
    body = {"documentId": "broken", "clientId": demo_client(product), "fileType": "pdf", "fileData": broken}
    headers = {"X_Internal_Secret": product.secret}
    assert product.request("POST", "/api/widget/process-document", body, **headers)[0] == 202
    failed = product.wait_until(
        "/api/widget/documents/broken/status", lambda body: body["status"] in ("completed", "failed"), **headers
    )
    assert failed["status"] == "failed"
    assert "PDF" in failed["errorMessage"]


@pytest.mark.parametrize("command", [["qcluster"], ["serve", "--port", "1"], ["web", "--port", "1"]])
def test_a_worker_or_a_second_web_process_says_why_it_does_not_start(product: Product, command: list[str]) -> None:
    result = product.manage(*command)
    assert result.returncode == 1
    assert "QDRANT_URL" in result.stderr and "Traceback" not in result.stderr and '"exception"' not in result.stderr


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["web", "--port", "99999"], "99999 is no port"),
        (["close_month", "--month", "2026-13"], "Write the month as YYYY-MM."),
    ],
)
def test_a_wrong_argument_is_told_in_a_sentence(product: Product, command: list[str], reason: str) -> None:
    result = product.manage(*command)
    assert result.returncode != 0
    assert reason in result.stderr and "Traceback" not in result.stderr and '"exception"' not in result.stderr


def test_a_snippet_that_the_desk_shows_leads_to_the_port_that_is_served(product: Product) -> None:
    desk = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    address = f"{product.url}/admin/tenants/client/{demo_client(product)}/change/"
    login = desk.open(address).read().decode()
    form = {"username": "admin", "password": re.search(r"password (\S+)\)", product.banner)[1]}
    form["csrfmiddlewaretoken"] = re.search(r'csrfmiddlewaretoken" value="(\w+)"', login)[1]
    desk.open(f"{product.url}/admin/login/", urllib.parse.urlencode(form).encode())
    assert f"baseUrl: '{product.url}'" in html.unescape(desk.open(address).read().decode())


def test_a_second_start_keeps_the_data(tmp_path: Path) -> None:
    with served(tmp_path) as first:
        answer = demo_answer(first)
    with served(tmp_path) as second:
        assert second.widget_key == first.widget_key and second.secret == first.secret
        assert demo_answer(second)["sources"] == answer["sources"]


def files_with(product: Product, words: str) -> set[str]:
    """Stored files, the database's and the embedded store's."""
    files = [path for path in Path(product.environment["DATA_DIR"]).rglob("*") if path.is_file()]
    return {path.name for path in files if words.encode() in path.read_bytes()}


def demo_answer(product: Product) -> dict:
    """The demo's answer, once its documents are ready."""
    product.wait_until("/health", lambda body: body["queueSize"] == 0)
    status, answer = product.json("POST", "/api/widget/chat", {"message": QUESTION}, x_api_key=product.widget_key)
    assert status == 200, answer
    return answer


def demo_client(product: Product) -> str:
    body = {"apiKey": product.widget_key}
    return product.json("POST", "/api/widget/internal/validate-client", body, X_Internal_Secret=product.secret)[1][
        "clientId"
    ]


def demo_titles() -> set[str]:
    return {path.name for path in (Path(__file__).parents[2] / "knowledge" / "demo").iterdir()}
