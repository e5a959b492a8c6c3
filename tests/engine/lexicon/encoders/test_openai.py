from __future__ import annotations

import gzip
import json
import re
import threading
import time
import traceback
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from lexicell._http import Backoff
from lexicell.errors import InputError, LexicellError
from lexicell.lexicon import Encoder, EncoderOptions, load_encoder
from lexicell.lexicon.encoders import openai
from lexicell.lexicon.encoders.openai import open_service
from lexicell.lexicon.encoders.openai_client import Clock
from lexicell.lexicon.encoders.openai_protocol import go_duration
from lexicell.lexicon.encoders.token_estimate import estimated_tokens, head, windows

TEXTS = [f"Gene number {i} encodes a protein." for i in range(10)]


class FakeClock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waits: list[float] = []
        self.lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def wait(self, stop: threading.Event, seconds: float) -> None:
        with self.lock:
            self.waits.append(seconds)
            self.time += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def service(embedding_server, clock):
    """One request at a time, in order, without waiting."""
    encoder = open_service("some-model", EncoderOptions())
    return replace(
        encoder, concurrency=1, timeout=5.0, clock=Clock(clock.now, clock.wait), backoff=Backoff(seed=1)
    )


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(openai, "_TEXTS_PER_REQUEST", 2)


def error(status, message="", code=None, kind=None, **headers):
    """Make the server answer with an error once."""
    content = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return lambda handler, asked: handler.say(status, content, **headers)


def hang_up(handler, asked):
    handler.close_connection = True
    handler.connection.close()


def refusal(service, texts=TEXTS) -> str:
    """The one sentence of an encoder that fails, with nothing secret in it or behind it."""
    with pytest.raises(LexicellError) as caught:
        service.encode(texts)
    everything = "".join(traceback.format_exception(caught.value, chain=True)) + repr(service)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    _assert_nothing_secret(everything)
    message = str(caught.value)
    assert message.endswith((".", "?"))
    assert "\n" not in message
    return message


def _assert_nothing_secret(text: str) -> None:
    for secret in ("test-key", "4f9a1c77", "d2e8b6", "127.0.0.1"):
        assert secret not in text


def test_texts_become_unit_vectors_in_their_order(embedding_server, service):
    assert isinstance(service, Encoder)
    seen: dict[int, np.ndarray] = {}
    vectors = service.encode(TEXTS, lambda positions, v: seen.update(zip(positions, v, strict=True)))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, embedding_server.unit(TEXTS))
    np.testing.assert_array_equal(np.stack([seen[i] for i in range(10)]), vectors)
    assert embedding_server.asked == [{"model": "some-model", "input": TEXTS, "encoding_format": "float"}]
    sent = embedding_server.headers[0]
    assert sent[":path"] == "/v1/embeddings"
    assert sent["Authorization"] == "Bearer test-key-4f9a1c77d2e8b6"
    assert service.info.model_dump() == {
        "id": "openai:some-model",
        "revision": "",
        "pooling": "api",
        "max_tokens": 8191,
        "normalised": True,
        "long_text": "window",
        "precision": "float32",
        "dimensions": None,
    }


def test_the_name_leads_here(embedding_server):
    assert load_encoder("openai:some-model").info.id == "openai:some-model"


def test_several_requests_are_under_way_at_once(embedding_server, service, small_batches):
    embedding_server.delay = 0.05
    vectors = replace(service, concurrency=4).encode(TEXTS)
    np.testing.assert_array_equal(vectors, embedding_server.unit(TEXTS))
    assert embedding_server.most_at_once == 4
    assert len(embedding_server.asked) == 5


def test_batches_stay_below_texts_and_tokens(embedding_server, service, monkeypatch):
    monkeypatch.setattr(openai, "_TOKENS_PER_REQUEST", 3 * estimated_tokens(TEXTS[0]))
    assert service.workload(TEXTS).requests == 4
    service.encode(TEXTS)
    assert [len(asked["input"]) for asked in embedding_server.asked] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"retry_after_ms": "2500"}, 2.5),
        ({}, 4.812),  # from the message
    ],
)
def test_a_rate_limit_is_waited_for(embedding_server, service, clock, headers, seconds):
    embedding_server.script.append(
        error(
            429, "Rate limit reached. Please try again in 4.812s.", "rate_limit_exceeded", "tokens", **headers
        )
    )
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS))
    assert clock.waits[0] == pytest.approx(seconds)
    assert len(embedding_server.asked) == 2


def test_a_rate_limit_that_others_get_through_is_no_failure(embedding_server, service, monkeypatch):
    monkeypatch.setattr(openai, "_TEXTS_PER_REQUEST", 1)
    answered: list[str] = []
    before = -1

    def act(handler, asked):
        nonlocal before
        embedding_server.script.append(act)
        if asked["input"] != TEXTS[:1] or len(answered) == 9:
            handler.vectors(asked)
            answered.extend(asked["input"])
            return
        while len(answered) <= before:
            time.sleep(0.005)
        before = len(answered)
        time.sleep(0.02)
        handler.say(429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}})

    embedding_server.script.extend([act] * 2)
    patient = replace(service, concurrency=2, backoff=Backoff(attempts=3))
    np.testing.assert_array_equal(patient.encode(TEXTS), embedding_server.unit(TEXTS))
    assert len(embedding_server.asked) > 10 + 3


def test_the_next_request_waits_until_it_is_allowed(embedding_server, service, clock, small_batches):
    embedding_server.ratelimits = {
        "x_ratelimit_limit_requests": "60",
        "x_ratelimit_remaining_requests": "0",
        "x_ratelimit_reset_requests": "1m0s",
    }
    service.encode(TEXTS)
    assert clock.waits == pytest.approx([1.0] * 4)  # one comes back each second


def test_tokens_that_are_left_are_counted(embedding_server, service, clock, small_batches):
    need = 2 * estimated_tokens(TEXTS[0])
    embedding_server.ratelimits = {
        "x_ratelimit_limit_tokens": str(4 * need),
        "x_ratelimit_remaining_tokens": str(need // 2),
        "x_ratelimit_reset_tokens": "7s",
    }
    service.encode(TEXTS[:4])
    assert clock.waits == pytest.approx([1.0])
    embedding_server.ratelimits |= {"x_ratelimit_remaining_tokens": "-1"}  # some say so: unknown
    clock.waits.clear()
    service.encode(TEXTS[:4])
    assert clock.waits == []


def test_a_limit_that_lasts_for_hours_ends_the_build(embedding_server, service, small_batches):
    embedding_server.script.append(error(429, "daily limit", "rate_limit_exceeded", Retry_After="7200"))
    assert "asks to wait for 120 minutes" in refusal(service)
    embedding_server.ratelimits = {
        "x_ratelimit_remaining_requests": "0",
        "x_ratelimit_reset_requests": "8h24m0s",
    }
    assert "minutes; try again then" in refusal(service)


@pytest.mark.parametrize(
    "trouble",
    [error(500, "boom"), error(503), error(529), error(408), hang_up, lambda h, a: h.say(502, b"<html>")],
)
def test_passing_trouble_is_tried_again(embedding_server, service, clock, trouble):
    embedding_server.script.extend([trouble, trouble])
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS))
    assert len(clock.waits) == 2
    assert clock.waits[1] > clock.waits[0]


def test_a_slow_answer_is_asked_for_again(embedding_server, service):
    embedding_server.script.append(lambda handler, asked: time.sleep(0.4))
    vectors = replace(service, timeout=0.1).encode(TEXTS)
    np.testing.assert_array_equal(vectors, embedding_server.unit(TEXTS))
    assert len(embedding_server.asked) == 2


def test_lasting_trouble_ends_with_one_sentence(embedding_server, service):
    embedding_server.script.extend([error(500, "boom")] * 20)
    message = refusal(service)
    assert message == (
        "Gave up on the server of OPENAI_BASE_URL after 6 attempts (last: 500 (boom)); try again later."
    )
    assert len(embedding_server.asked) == 6


ECHO = "Incorrect API key provided: test-key-4f9a********d2e8b6. See http://127.0.0.1/keys"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (error(401, ECHO, "invalid_api_key"), "does not accept the key in OPENAI_API_KEY"),
        (error(403, ECHO), "does not let this key use the model 'some-model'"),
        (error(404, f"The model does not exist {ECHO}", "model_not_found"), "knows no model 'some-model'"),
        (error(400, ECHO), "refused the request (400) (Incorrect API key provided: [...] See [...])"),
        (error(429, ECHO, "insufficient_quota", "insufficient_quota"), "quota is used up"),
        (lambda h, a: h.say(400, {"detail": [ECHO]}), "refused the request (400)"),
        (lambda h, a: h.say(302, {}, Location="http://elsewhere.example/"), "set OPENAI_BASE_URL"),
        (lambda h, a: h.say(200, b"<html>test-key-4f9a1c77d2e8b6"), "text/html that is not JSON"),
        (lambda h, a: h.say(200, [1, 2]), "JSON without a list of vectors"),
        (lambda h, a: h.vectors(a, data=[]), "0 vectors for 10 texts"),
        (lambda h, a: h.vectors(a, data=[{"index": 0, "embedding": [1.0]}] * 10), "which text each is for"),
        (lambda h, a: h.vectors(a, data=[{"embedding": [1.0]}] * 10), "which text each is for"),
    ],
)
def test_what_cannot_help_is_not_tried_again(embedding_server, service, clock, trouble, said):
    embedding_server.script.append(trouble)
    assert said in refusal(service)
    assert len(embedding_server.asked) == 1
    assert clock.waits == []


def without_end(status, body, **headers):
    """Answer until nobody listens."""

    def answer(handler, asked):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.close_connection = True
        while True:
            handler.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    "endless",
    [
        without_end(200, b"[" * 65_536),
        without_end(200, b" " * 65_536, Content_Type="application/json"),
        without_end(200, gzip.compress(bytes(1 << 24)), Content_Encoding="gzip"),
        without_end(500, b"x" * 65_536),
        without_end(200, b"10000\r\n" + b"1" * 65_536 + b"\r\n", Transfer_Encoding="chunked"),
        without_end(302, b"x" * 65_536, Location="/v1/elsewhere"),
    ],
    ids=["nested", "blanks", "gzip", "error", "chunked", "elsewhere"],
)
def test_an_answer_without_end_is_cut_off(embedding_server, service, endless):
    embedding_server.script.append(endless)
    tracemalloc.start()
    try:
        assert "longer than" in refusal(service)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100 << 20


def test_a_long_answer_of_many_digits_is_no_endless_one(embedding_server, service, monkeypatch):
    def padded(handler, asked):
        vectors = [handler.server.vector(text) for text in asked["input"]]
        data = [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        handler.say(200, json.dumps({"data": data}, indent=8).encode(), Content_Type="application/json")

    embedding_server.dim = 8_192
    embedding_server.script.append(padded)
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS, 8_192))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"data":' * 100_000,
        b'{"data":[{"index":0,"embedding":' + b"[" * 100_000,
        b"1" * 5_000,
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_json_that_cannot_be_read_is_one_sentence(embedding_server, service, status, body):
    embedding_server.script.append(lambda handler, asked: handler.say(status, body))
    assert refusal(service)


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ([1.0, 2.0], "length 2, not 8"),
        ([float("nan")] * 8, "zero or not finite"),
        ([1e308] * 8, "zero or not finite"),
        ([0.0] * 8, "zero or not finite"),
        ([10**400] * 8, "not lists of numbers"),
        ("AACAPw==", "not lists of numbers"),
        ([None] * 8, "zero or not finite"),
        ([[1.0]] * 8, "not lists of numbers"),
        ([], "not lists of numbers"),
    ],
)
def test_vectors_are_checked(embedding_server, service, vector, said):
    def answer(handler, asked):
        good = [{"index": i, "embedding": handler.server.vector(t)} for i, t in enumerate(asked["input"])]
        handler.vectors(asked, data=[*good[:-1], {"index": len(good) - 1, "embedding": vector}])

    embedding_server.script.append(answer)
    assert said in refusal(service)


def test_all_answers_have_one_length(embedding_server, service, small_batches):
    embedding_server.script.extend(
        [lambda h, a: h.vectors(a), lambda h, a: h.vectors({**a, "dimensions": 3})]
    )
    assert "length 8 and 3" in refusal(service)


def test_answers_under_way_are_kept_when_another_fails(embedding_server, service, small_batches):
    def slow(handler, asked):
        time.sleep(0.2)
        handler.vectors(asked)

    embedding_server.script.extend([slow, error(401)])
    kept: list[int] = []
    with pytest.raises(InputError):
        replace(service, concurrency=2).encode(TEXTS, lambda positions, _: kept.extend(positions))
    assert kept in ([0, 1], [2, 3])
    assert len(embedding_server.asked) == 2


def test_what_arrived_is_kept_when_somebody_interrupts(embedding_server, service, small_batches):
    kept: list[int] = []

    def take(positions, vectors):
        kept.extend(positions)
        if len(kept) == 4:
            raise KeyboardInterrupt

    embedding_server.delay = 0.02
    with pytest.raises(KeyboardInterrupt):
        service.encode(TEXTS, take)
    assert kept == [0, 1, 2, 3]
    time.sleep(0.1)
    assert len(embedding_server.asked) <= 4


def test_a_server_that_takes_less_at_once_gets_less(embedding_server, service):
    def pickily(handler, asked):
        if len(asked["input"]) > 3:
            embedding_server.script.extend([pickily] * 2)
            handler.say(422, {"error": "batch size 10 > maximum allowed batch size 3"})
        else:
            handler.vectors(asked)

    embedding_server.script.append(pickily)
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS))


@pytest.mark.parametrize("long_text", ["window", "truncate"])
def test_a_text_that_the_service_finds_too_long_is_cut_further(embedding_server, service, long_text):
    long = "word " * 60
    limit = "This model's maximum context length is 40 tokens, however you requested 61 tokens."

    def pickily(handler, asked):
        embedding_server.script.append(pickily)
        if any(len(text.split()) > 40 for text in asked["input"]):
            handler.say(400, {"error": {"message": limit, "type": "invalid_request_error", "code": None}})
        else:
            handler.vectors(asked)

    embedding_server.script.append(pickily)
    vectors = replace(service, long_text=long_text).encode(["short text", long])
    np.testing.assert_array_equal(vectors[0], embedding_server.unit(["short text"])[0])
    if long_text == "truncate":
        kept = max((text for text in embedding_server.texts if len(text.split()) <= 40), key=len)
        assert long.startswith(kept)
        assert len(kept.split()) > 30
        np.testing.assert_array_equal(vectors[1], embedding_server.unit([kept])[0])
    else:
        halves, weights = zip(*windows(long, 10**9, least=2), strict=True)
        mean = np.average(embedding_server.unit(halves).astype(float), axis=0, weights=weights)
        np.testing.assert_allclose(vectors[1], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_service_that_takes_nothing_ends_soon(embedding_server, service):
    embedding_server.script.extend([lambda h, a: h.say(413, {})] * 50)
    assert "Even a single short text is too much" in refusal(service)
    assert len(embedding_server.asked) < 8


def test_long_texts_are_averaged_over_windows(embedding_server, service):
    long = "gene " * 300 + "a" * 400 + " gene" * 30
    small = replace(service, max_tokens=128)
    cut = windows(long, 128)
    assert small.workload([long, "short"]).windows == 1 + len(cut)
    assert len({tokens for _, tokens in cut}) > 1
    assert "".join(words for words, _ in cut) == long
    assert all(tokens <= 96 for _, tokens in cut)
    parts = embedding_server.unit([words for words, _ in cut]).astype(float)
    mean = np.average(parts, axis=0, weights=[tokens for _, tokens in cut])
    vectors = small.encode([long, "short"])
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(vectors[1], embedding_server.unit(["short"])[0])


def test_long_texts_are_cut_off_where_asked(embedding_server, service):
    long = "gene " * 500
    replace(service, max_tokens=100, long_text="truncate").encode([long])
    (sent,) = embedding_server.texts
    assert long.startswith(sent)
    assert estimated_tokens(sent) == 75
    assert head("gene", 100) == ("gene", 1)


def test_an_empty_text_is_refused_before_anything_is_sent(embedding_server, service):
    assert "Text 2 of 3 is empty" in refusal(service, ["a", " ", "b"])
    assert embedding_server.asked == []


def test_dimensions_are_passed_on(embedding_server, monkeypatch):
    encoder = open_service("text-embedding-3-large", EncoderOptions(dimensions=5))
    assert encoder.dim == 5
    assert encoder.info.dimensions == 5
    np.testing.assert_array_equal(encoder.encode(TEXTS), embedding_server.unit(TEXTS, 5))
    assert embedding_server.asked[0]["dimensions"] == 5


def test_a_known_model_has_its_length(embedding_server):
    assert "length 8, not 1536" in refusal(open_service("text-embedding-ada-002", EncoderOptions()), ["a"])


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("", {}, "needs the name of a model"),
        ("text-embedding-ada-002", {"dimensions": 256}, "cannot shorten"),
        ("text-embedding-3-small", {"dimensions": 1537}, "1,536 dimensions, fewer than 1,537"),
        ("m", {"dimensions": 0}, "0 dimensions"),
        ("m", {"pooling": "cls"}, "its own pooling"),
        ("m", {"device": "cuda"}, "runs at a service"),
        ("m", {"precision": "int8"}, "runs at a service"),
        ("m", {"max_tokens": 9000}, "16 to 8,191 tokens, not 9000"),
    ],
)
def test_options_that_do_not_fit_are_refused(embedding_server, model, options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        open_service(model, EncoderOptions(**options))


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        (None, None, "needs a key: set the environment variable OPENAI_API_KEY"),
        (None, "  ", "needs a key"),
        ("https://gpu.example/v1", None, "needs a key"),
        ("http://gpu.example/v1", "secret-key", "plain http to another machine"),
        ("ftp://gpu.example/v1", "secret-key", "not an http(s) address"),
        ("gpu.example/v1", "secret-key", "not an http(s) address"),
        ("http://gpu.example:port/v1", "secret-key", "not an http(s) address"),
        ("https://user:secret@gpu.example/v1", "secret-key", "holds a login or a query"),
        ("https://gpu.example/v1", "secret\nkey", "holds characters that no key has"),
        ("https://gpu.example/v1", "secret–key", "holds characters that no key has"),
    ],
)
def test_the_environment_is_checked_before_anything_is_sent(monkeypatch, url, key, said):
    for name, value in (("OPENAI_BASE_URL", url), ("OPENAI_API_KEY", key)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        open_service("m", EncoderOptions()).encode(["a"])
    assert "secret" not in str(caught.value)
    assert "gpu.example" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:1/v1", "http://[::1]:1/v1", "http://gpu.example/v1"])
def test_a_server_of_yours_may_need_no_key(monkeypatch, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    encoder = open_service("m", EncoderOptions())
    encoder.check()
    assert "Authorization" not in encoder.service.headers()
    assert "gpu.example" not in repr(encoder) + encoder.cache_key


def test_nobody_there_is_said_at_once(service, clock, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    nobody = replace(open_service("m", EncoderOptions()), clock=service.clock)
    assert "Cannot connect to the server of OPENAI_BASE_URL" in refusal(nobody)
    assert clock.waits == []


def test_a_proxy_is_not_asked_for_this_machine(embedding_server, service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS))


def test_servers_and_options_have_caches_of_their_own(embedding_server, monkeypatch):
    def key(model="m", **options):
        return open_service(model, EncoderOptions(**options)).cache_key

    mine = {key(), key("n"), key(dimensions=3), key(max_tokens=100), key(long_text="truncate")}
    assert key() in mine
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert len(mine | {key()}) == 6
    _assert_nothing_secret("".join(mine))


def test_longer_waits_are_announced(embedding_server, service):
    lines: list[str] = []
    embedding_server.script.append(error(429, "busy", Retry_After="30"))
    replace(service, notify=lines.append).encode(TEXTS)
    assert lines[0] == "the server of OPENAI_BASE_URL answered 429 (busy): trying again in 30 s"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("12ms", 0.012), ("1s", 1), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("59", 59), ("2.5", 2.5),
        ("", None), ("soon", None), ("1s!", None), ("-1", None), ("inf", None), ("nan", None),
    ],
)  # fmt: skip
def test_durations(value, seconds):
    assert go_duration(value) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("text", ["", "a", "胰岛素 🧬 β", "x" * 10_000, "a b " * 2000, "\n\n  "])
def test_windows_are_the_text(text):
    for limit in (1, 16, 100):
        for truncated in (False, True):
            cut = [head(text, limit)] if truncated else windows(text, limit)
            joined = "".join(words for words, _ in cut)
            assert text.startswith(joined) if truncated else joined == text
            assert [tokens for _, tokens in cut] == [estimated_tokens(words) for words, _ in cut]
