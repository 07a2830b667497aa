"""A provider of embeddings that costs next to nothing: `python -m tests.bench.embedder PORT`."""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

VECTOR = base64.b64encode(np.random.default_rng(0).normal(size=1536).astype("<f4").tobytes()).decode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        rows = ",".join(f'{{"index":{index},"embedding":"{VECTOR}"}}' for index in range(len(texts)))
        body = f'{{"data":[{rows}],"usage":{{"total_tokens":{len(texts)}}}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
