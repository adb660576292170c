"""Who may ask; what every answer carries; the page, the report and what whoever runs the server reads."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from repotune.core.settings import ServeSettings
from repotune.serve.facts import Amount, read_facts
from repotune.serve.page import Page
from repotune.serve.run import BoundServer, open_server


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "LOCALHOST:80", "[::1]:8750"])
def test_the_loopback_s_own_names_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["attacker.example", "127.0.0.1.attacker.example:8750", "localhost.", "", "[::2]", "["]
)
def test_other_names_are_refused(client: httpx.Client, host: str) -> None:
    response = client.get("/health", headers={"host": host})
    assert response.status_code == 403
    assert "loopback" in response.json()["error"]["message"]


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://127.0.0.1:1"])
def test_pages_from_elsewhere_are_refused(client: httpx.Client, origin: str) -> None:
    response = client.post("/v1/completions", json={"prompt": "a"}, headers={"origin": origin})
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_the_own_page_may_ask(client: httpx.Client, url: str) -> None:
    assert client.post("/v1/completions", json={"prompt": "a"}, headers={"origin": url}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/v1/chat/completions", 404),
        ("GET", "/v1/completions", 405),
        ("PUT", "/infill", 405),
        ("POST", "/", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/{path}", 404),
    ],
)
def test_wrong_paths_and_methods_are_refused_in_json(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert ("allow" in response.headers) == (status == 405)


def test_answers_come_without_waiting_for_acknowledgements(client: httpx.Client) -> None:
    """With Nagle's algorithm on, the second segment of an answer waits 40 ms for the client's delayed ACK."""
    assert min(client.get("/health").elapsed.total_seconds() for _ in range(10)) < 0.03


def test_the_page_allows_exactly_its_own_script_and_style(client: httpx.Client) -> None:
    response = client.get("/")
    policy = response.headers["content-security-policy"]
    for tag in ("script", "style"):
        sources = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", response.text, re.DOTALL)
        assert len(sources) == 1
        digest = base64.b64encode(hashlib.sha256(sources[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|\sstyle=|(src|href)=\"(https?:)?//", response.text)


def test_the_page_states_the_release_s_facts_as_text(client: httpx.Client) -> None:
    page = client.get("/").text
    assert "<h1>acme</h1>" in page
    assert "Better than chance on 16 of 16 files &amp; &lt;not&gt; a guess." in page
    assert "MIT 75\N{NO-BREAK SPACE}%, unknown 25\N{NO-BREAK SPACE}%" in page
    assert "256 tokens" in page
    assert 'href="/report"' in page


def test_a_page_without_a_report_does_not_link_to_one(release: Path) -> None:
    assert "/report" not in Page(read_facts(release), has_report=False).html


@pytest.mark.parametrize(("path", "title"), [("/report", "The report"), ("/corpus.html", "The corpus")])
def test_the_report_is_served_in_an_origin_of_its_own(client: httpx.Client, path: str, title: str) -> None:
    response = client.get(path)
    assert f"<title>{title}</title>" in response.text
    assert response.headers["content-type"].startswith("text/html")
    assert "sandbox" in response.headers["content-security-policy"]
    assert "allow-same-origin" not in response.headers["content-security-policy"]


def test_without_a_report_there_is_none(
    release: Path, serving: Callable[[BoundServer], AbstractContextManager[str]]
) -> None:
    with serving(open_server(release, ServeSettings(port=0, engine="ours"))) as url:
        response = httpx.get(f"{url}/report", trust_env=False)
    assert response.status_code == 404
    assert "report" in response.json()["error"]["message"]


def test_the_page_starts_in_python_only_for_a_model_of_python(release: Path) -> None:
    facts = read_facts(release)
    other = facts.model_copy(update={"languages": {"Go": Amount(files=9, bytes=900), **facts.languages}})
    assert "def read_lines" in Page(facts, has_report=False).html
    assert "def read_lines" not in Page(other, has_report=False).html


def test_a_client_that_leaves_within_its_body_is_no_failure(
    client: httpx.Client, counter: Callable[[str], float], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(b'POST /infill HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{"prompt"')
    while not counter('repotune_http_requests_total{path="/infill",status="499"}'):
        pass
    assert not caplog.records


def test_a_failing_engine_is_told_and_counted(
    release: Path, serving: Callable[[BoundServer], AbstractContextManager[str]], caplog: pytest.LogCaptureFixture
) -> None:
    bound = open_server(release, ServeSettings(port=0, engine="ours"))
    with pytest.MonkeyPatch.context() as patch, serving(bound) as url, httpx.Client(base_url=url) as client:
        patch.setattr("repotune.infer.paged.engine.PagedEngine.extend", _broken)
        body = {"prompt": "a", "max_tokens": 5}
        whole = client.post("/v1/completions", json=body)
        assert (whole.status_code, whole.json()["error"]["type"]) == (500, "server_error")
        assert "server_error" in client.post("/v1/completions", json={**body, "stream": True}).text
        patch.undo()
        assert client.post("/v1/completions", json=body).json()["usage"]["completion_tokens"] == 5
        assert 'http_requests_total{path="/v1/completions",status="500"} 1.0' in client.get("/metrics").text
    assert "broken on purpose" in caplog.text


def _broken(*_arguments: object) -> None:
    raise RuntimeError("broken on purpose")


def test_the_metrics_are_prometheus_text_with_histograms(client: httpx.Client) -> None:
    client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1})
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds"):
        assert f"# TYPE repotune_{name} histogram" in response.text
        assert f'repotune_{name}_bucket{{le="0.1"}}' in response.text
    client.get("/no/such/path")
    paths = set(re.findall(r'http_requests_total{path="([^"]*)"', client.get("/metrics").text))
    assert paths <= {
        "/",
        "/report",
        "/corpus.html",
        "/v1/models",
        "/v1/completions",
        "/infill",
        "/health",
        "/metrics",
        "other",
    }
