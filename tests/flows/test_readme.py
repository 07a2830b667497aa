"""The README's examples work as they stand there."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from knowledge.callbacks import signature
from tests.flows.product import ROOT, Product, events, served

README = (ROOT / "README.md").read_text(encoding="utf-8")
NODE = shutil.which("node")


def example(language: str, word: str) -> str:
    """The one block of code in a language that holds a word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if word in block]
    return found


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with served(tmp_path_factory.mktemp("readme")) as product:
        yield product


def test_the_session_with_curl_leads_from_a_new_client_to_an_answer(product: Product) -> None:
    script = example("sh", "curl")
    for written, here in {
        "127.0.0.1:8000": urlsplit(product.url).netloc,
        " .env)": f" {product.environment['ENV_FILE']})",
        ".venv/bin/python": sys.executable,
    }.items():
        assert written in script
        script = script.replace(written, here)
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env=product.environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    decoder = json.JSONDecoder()
    accepted, end = decoder.raw_decode(done.stdout)
    answer, end = decoder.raw_decode(done.stdout, end)
    assert (accepted["documentId"], accepted["status"]) == ("returns", "pending")
    assert "60 days" in answer["response"] and {s["documentId"] for s in answer["sources"]} == {"returns"}
    stream = events(done.stdout[end:].encode())
    assert stream[0][0] == "start" and stream[-1] == ("done", "[DONE]")
    assert [json.loads(data)[0]["documentId"] for name, data in stream if name == "sources"] == ["returns"]


@pytest.mark.skipif(NODE is None, reason="no Node.js on this machine (CI installs one)")
def test_node_tells_our_callbacks_from_others(tmp_path: Path) -> None:
    body, now = json.dumps({"documentId": "é", "status": "completed"}), int(time.time())
    good = signature(body, now)
    attempts = [
        (True, body, good),
        (True, body, signature(body, now - 200)),
        (False, body + " ", good),
        (False, body, signature(body, now - 400)),
        (False, body, good.replace(f"t={now}", f"t={now + 1}")),
        (False, body, good[:-1]),
        (False, body, good + "0"),
        (False, body, f"t={now},v1={'0' * 64}"),
        (False, body, ""),
        (False, body, None),
    ]
    script = tmp_path / "verify.js"
    script.write_text(
        example("js", "isOurs")
        + "const [secret, attempts] = JSON.parse(process.argv[2]);\n"
        + "console.log(JSON.stringify(attempts.map(([, body, header]) => isOurs(Buffer.from(body), header, secret))));"
    )
    given = json.dumps([settings.INTERNAL_API_SECRET, attempts])
    done = subprocess.run([str(NODE), script, given], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == [expected for expected, _, _ in attempts], done.stderr
