"""Seeds for the fuzz targets, from the recorded requests in tests/fixtures and a sample of each file. Argument: where to."""

import base64
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
ZERO = "00000000000000000000000000000000"

ROW = {"event_name": "a", "event_id": "x", "stream_id": "1", "date": "2026-11-21", "event_timestamp": 1795219200000000,
       "event_params": [{"key": "k", "value": {"string_value": "v"}}], "items": [{"item_id": "i", "price": 1.5}]}
LETTER = {"log_id": ZERO, "sequence": 7, "destination": "memory:a", "reason": "no", "rejected_at_micros": 1795219200000000,
          "kind": "event", "row": ROW, "record": base64.b64encode(b"\x0a\x00").decode()}
CURSOR = {"destination": "memory:a", "start": 0, "position": 7, "log_id": ZERO, "stored": 6, "dead_lettered": 1}
PAGE = {"destination": "memory:a", "start": 0, "intake": {"received": 3, "appended": 3}, "settled": {"stored": 2}, "last": 1,
        "sending": {"log_id": ZERO, "number": 1, "written_at": 1, "lines": [{"minute": 1, "stream_id": "1", "is_delivered": False,
                    "outcome": "appended", "reason": None, "events": 2}]}, "waiting": []}
JOURNAL = {"destination": "memory:a", "log_id": ZERO, "after": 0, "is_done": False, "rows": [{"log_id": ZERO, "sequence": 7}]}


def requests():
    """Method, target, headers and body of each recorded request."""
    for path in sorted((FIXTURES / "streaming").glob("*.body")):
        headers = path.with_suffix(".headers.json")
        named = json.loads(headers.read_text()) if headers.exists() else {}
        yield "POST", "/api/v1/streaming/4711", list(named.items()), path.read_bytes()
    for name in ("data_tags", "foreign"):
        for line in (FIXTURES / "clients" / f"{name}.jsonl").read_text().splitlines():
            sent = json.loads(line)
            target = "/api/v1/streaming/4711?" + sent["target"].partition("?")[2]
            yield sent["method"], target, sent["headers"], base64.b64decode(sent["body"])
    yield "GET", "/api/v1/streaming/4711?event_name=a&value=1", [("x-forwarded-for", "203.0.113.9, [::1]:80"), ("cookie", "__uid__=a")], b""
    form = ("content-type", "application/x-www-form-urlencoded")
    yield "POST", "/api/v1/streaming/4711", [form], b"event_name=a&items=%5B%5D"


def text(method, target, headers, body):
    """The form in which the target `request` reads it: no line feeds in the head but at the ends of lines."""
    lines = [f"{method} {target}"] + [f"{name}: {value}" for name, value in headers if name != "content-length"]
    return "\n".join(lines).encode() + b"\n\n" + body


def seeds():
    """Target and content."""
    for request in requests():
        yield "request", text(*request)
        yield "payload", request[3]
    yield "payload", (FIXTURES / "typical.json").read_bytes()
    yield "row_text", json.dumps(ROW).encode()
    yield "row_bytes", bytes([0x0A, 3, 0x61, 0x62, 0x63, 0x12, 1, 0x61])
    yield "letters", json.dumps(LETTER).encode() + b"\n"
    for kind, value in enumerate((CURSOR, PAGE, JOURNAL)):
        yield "files", bytes([kind]) + json.dumps({"version": 1} | value).encode()
    for act in range(4):
        yield "log", bytes([act, act, 0, 100, 4, 1, 2, 3, 4])
    yield "configuration", (ROOT / ".env.template").read_bytes().replace(b"#APP_CONFIG", b"APP_CONFIG")
    yield "configuration", (FIXTURES / "predecessor.env").read_bytes()


for number, (target, content) in enumerate(seeds()):
    folder = pathlib.Path(sys.argv[1]) / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{number:03}").write_bytes(content)
