"""What Prometheus reads at /metrics. Names and buckets are vLLM's, so that its dashboards need one word changed."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from repotune.serve.source import Source

_FIRST_TOKEN_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_WHOLE_SECONDS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one server, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, source: Source) -> None:
        self._registry = registry = CollectorRegistry()
        self._first_token = Histogram(
            "repotune_time_to_first_token_seconds",
            "From the request to the first text that the model made",
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self._whole = Histogram(
            "repotune_e2e_request_latency_seconds",
            "From the request to the end of its completion, cancelled ones left out",
            buckets=_WHOLE_SECONDS,
            registry=registry,
        )
        self._prompt = Counter("repotune_prompt_tokens", "Tokens of prompts", registry=registry)
        self._cached = Counter(
            "repotune_cached_prompt_tokens", "Tokens of prompts not computed again", registry=registry
        )
        self._typed_through = Counter(
            "repotune_typed_through",
            "Answers that were the rest of an earlier one, without the model",
            registry=registry,
        )
        self._withheld = Counter(
            "repotune_withheld", "Completions that repeat code under a licence that is not allowed", registry=registry
        )
        self._generated = Counter("repotune_generation_tokens", "Tokens generated", registry=registry)
        self._finished = Counter(
            "repotune_request_success",
            "Completions by how they ended: stop, length, or abort when nobody waited any more",
            ["finished_reason"],
            registry=registry,
        )
        self._answered = Counter("repotune_http_requests", "Requests answered", ["path", "status"], registry=registry)
        running = Gauge("repotune_num_requests_running", "Completions under way", registry=registry)
        running.set_function(lambda: source.running)
        waiting = Gauge("repotune_num_requests_waiting", "Completions in the queue", registry=registry)
        waiting.set_function(lambda: source.waiting)

    def first_token(self, seconds: float) -> None:
        self._first_token.observe(seconds)

    def prompt(self, prompt_tokens: int, cached_tokens: int) -> None:
        self._prompt.inc(prompt_tokens)
        self._cached.inc(cached_tokens)

    def typed_through(self) -> None:
        self._typed_through.inc()

    def withheld(self) -> None:
        self._withheld.inc()

    def completed(self, reason: str, seconds: float, tokens: int) -> None:
        self._finished.labels(reason).inc()
        self._generated.inc(tokens)
        if reason != "abort":
            self._whole.observe(seconds)

    def answered(self, path: str, status: int) -> None:
        self._answered.labels(path, str(status)).inc()

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)
