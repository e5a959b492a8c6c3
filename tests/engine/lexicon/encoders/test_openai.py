"""A service of embeddings: what is sent, what comes back, and that key and address stay where they are."""

from __future__ import annotations

import gzip
import json
import time
import traceback
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from lexicell.errors import InputError, LexicellError
from lexicell.lexicon import Encoder, EncoderOptions, load_encoder
from lexicell.lexicon.encoders import openai, openai_service
from lexicell.lexicon.encoders.openai import open_service
from lexicell.lexicon.encoders.token_estimate import estimated_tokens, head, windows

TEXTS = [f"Gene number {i} encodes a protein." for i in range(10)]
SECRETS = ("test-key", "4f9a1c77", "d2e8b6", "127.0.0.1")


@pytest.fixture
def service(embedding_server, waits):
    """One request at a time, in order, without waiting."""
    return replace(open_service("some-model", EncoderOptions()), concurrency=1)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(openai, "_TEXTS_PER_REQUEST", 2)


def error(status, message="", code=None, **headers):
    """Make the server answer with an error once."""
    return lambda handler, asked: handler.say(
        status, {"error": {"message": message, "code": code}}, **headers
    )


def hang_up(handler, asked):
    handler.close_connection = True
    handler.connection.close()


def break_off(handler, asked):
    handler.say(200, b"{", Content_Length="99")
    hang_up(handler, asked)


def refusal(service, texts=TEXTS, kind=LexicellError) -> str:
    """The one sentence of an encoder that fails, with nothing secret in it or behind it."""
    with pytest.raises(kind) as caught:
        service.encode(texts)
    assert type(caught.value) is kind
    behind: BaseException | None = caught.value
    while behind is not None:  # also what a traceback does not show
        everything = "".join(traceback.format_exception(behind)) + repr(behind.args)
        assert not [secret for secret in SECRETS if secret in everything]
        behind = behind.__cause__ or behind.__context__
    assert not [secret for secret in SECRETS if secret in repr(service)]
    message = str(caught.value)
    assert message.endswith((".", "?"))
    assert "\n" not in message
    return message


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


def test_no_texts_need_no_request(embedding_server, service):
    assert service.encode([]).shape == (0, 0)
    assert embedding_server.asked == []


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
    monkeypatch.setattr(openai, "_TEXTS_PER_REQUEST", 2)
    service.encode(TEXTS)
    assert [len(asked["input"]) for asked in embedding_server.asked] == [3, 3, 3, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    "trouble",
    [
        error(500, "boom"), error(503), error(529), error(408), error(429, "slow down"), hang_up, break_off,
        lambda h, a: h.say(502, b"<html>"),
    ],
)  # fmt: skip
def test_passing_trouble_is_tried_again(embedding_server, service, waits, trouble):
    embedding_server.script.extend([trouble] * 7)
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS))
    assert len(waits) == 7
    assert sum(waits) > 60  # a limit per minute passes


def test_a_rate_limit_is_waited_for_and_told(embedding_server, service, waits):
    lines: list[str] = []
    embedding_server.script.append(error(429, "busy at http://127.0.0.1/", Retry_After="37"))
    replace(service, notify=lines.append).encode(TEXTS)
    assert waits == [37]
    (line,) = lines
    assert {"37", "429:", "busy"} <= set(line.split())
    assert "127.0.0.1" not in line


def test_a_slow_answer_is_asked_for_again(embedding_server, service, monkeypatch):
    monkeypatch.setattr(openai_service, "_TIMEOUT", 0.1)
    embedding_server.script.append(lambda handler, asked: time.sleep(0.4))
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS))
    assert len(embedding_server.asked) == 2


@pytest.mark.parametrize(
    ("trouble", "fact"),
    [(error(500, "boom 127.0.0.1"), "boom"), (hang_up, "8 attempts"), (break_off, "8 attempts")],
)
def test_lasting_trouble_ends(embedding_server, service, trouble, fact):
    embedding_server.script.extend([trouble] * 20)
    assert fact in refusal(service)
    assert len(embedding_server.asked) == 8


def test_a_limit_that_lasts_for_hours_ends_the_build(embedding_server, service, waits):
    embedding_server.script.append(error(429, "daily limit", Retry_After="7200"))
    assert "120 minutes" in refusal(service)
    assert waits == []


ECHO = "Incorrect API key provided: test-key-4f9a********d2e8b6. See http://127.0.0.1/keys"


@pytest.mark.parametrize(
    ("trouble", "kind", "fact"),
    [
        (error(401, ECHO, "invalid_api_key"), InputError, "OPENAI_API_KEY"),
        (error(403, ECHO), InputError, "OPENAI_API_KEY for 'some-model' (403"),
        (error(404, f"The model does not exist {ECHO}"), InputError, "'some-model'"),
        (error(402, ECHO), LexicellError, "quota"),
        (error(429, ECHO, "insufficient_quota"), LexicellError, "quota"),
        (error(418, ECHO), InputError, "418"),
        (lambda h, a: h.say(302, {}, Location="http://elsewhere.example/"), InputError, "OPENAI_BASE_URL"),
        (lambda h, a: h.say(200, b"<html>test-key-4f9a1c77d2e8b6"), LexicellError, "/embeddings"),
        (lambda h, a: h.say(200, [1, 2]), LexicellError, "/embeddings"),
        (lambda h, a: h.vectors(a, data=[]), LexicellError, "10 vectors"),
        (lambda h, a: h.vectors({**a, "input": TEXTS[:9]}), LexicellError, "10 vectors"),
        (lambda h, a: h.vectors({**a, "input": [*TEXTS, "more"]}), LexicellError, "10 vectors"),
        (
            lambda h, a: h.vectors(a, data=[{"index": 0, "embedding": [1.0]}] * 10),
            LexicellError,
            "10 vectors",
        ),
        (lambda h, a: h.vectors(a, data=[{"embedding": [1.0]}] * 10), LexicellError, "10 vectors"),
    ],
)
def test_what_cannot_help_is_not_tried_again(embedding_server, service, waits, trouble, kind, fact):
    embedding_server.script.append(trouble)
    assert fact in refusal(service, kind=kind)
    assert len(embedding_server.asked) == 1
    assert waits == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 500])
@pytest.mark.parametrize(
    "shape", [{"error": ECHO}, {"detail": [ECHO]}, {"error": {"message": {"a": ECHO}}}, [ECHO], ECHO]
)
def test_no_shape_of_an_error_shows_what_it_echoes(embedding_server, service, status, shape):
    embedding_server.script.extend([lambda h, a: h.say(status, shape)] * 20)
    assert "Incorrect" in refusal(service, ["a"], InputError if status < 500 else LexicellError)


def test_a_key_of_which_little_is_shown_is_not_shown(embedding_server, service):
    embedding_server.script.append(error(401, "Incorrect: tes*****8b6, sk-proj-x"))
    message = refusal(service, kind=InputError)
    assert "Incorrect" in message
    assert not {"tes*", "8b6", "sk-"} & {message[i : i + n] for n in (3, 4) for i in range(len(message))}


def test_a_redirect_takes_the_key_nowhere(embedding_server, service):
    def elsewhere(handler, asked):
        handler.say(307, {}, Location=f"http://localhost:{embedding_server.server_port}/v1/embeddings")

    embedding_server.script.append(elsewhere)
    assert "307" in refusal(service, kind=InputError)
    assert len(embedding_server.asked) == 1


def test_logs_show_no_key(embedding_server, service, caplog):
    caplog.set_level("DEBUG")
    embedding_server.script.extend([error(500, ECHO), error(401, ECHO)])
    refusal(service, kind=InputError)
    assert not [secret for secret in SECRETS[:3] if secret in caplog.text]


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
        without_end(200, gzip.compress(bytes(1 << 24)), Content_Encoding="gzip"),
        without_end(500, b"x" * 65_536),
        without_end(200, b"10000\r\n" + b"1" * 65_536 + b"\r\n", Transfer_Encoding="chunked"),
    ],
    ids=["nested", "gzip", "error", "chunked"],
)
def test_an_answer_without_end_is_cut_off(embedding_server, service, endless):
    embedding_server.script.append(endless)
    tracemalloc.start()
    try:
        assert "MiB" in refusal(service)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100 << 20


def test_a_long_answer_of_many_digits_is_no_endless_one(embedding_server, service):
    def padded(handler, asked):
        vectors = [handler.server.vector(text) for text in asked["input"]]
        data = [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        handler.say(200, json.dumps({"data": data}, indent=8).encode(), Content_Type="application/json")

    embedding_server.dim = 8_192
    embedding_server.script.append(padded)
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS, 8_192))


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"data":' * 100_000, b"1" * 5_000])
@pytest.mark.parametrize(("status", "kind"), [(200, LexicellError), (418, InputError)])
def test_json_that_cannot_be_read_is_one_sentence(embedding_server, service, status, kind, body):
    embedding_server.script.append(lambda handler, asked: handler.say(status, body))
    assert refusal(service, kind=kind)


@pytest.mark.parametrize(
    ("vector", "fact"),
    [
        ([1.0, 2.0], "length is not 8"),
        ([[1.0]] * 8, "length is not 8"),
        ([], "length is not 8"),
        ([float("nan")] * 8, "not finite"),
        ([float("inf")] * 8, "not finite"),
        ([1e308] * 8, "not finite"),
        ([None] * 8, "not finite"),
        ([0.0] * 8, "zero"),
        ([10**400] * 8, "10 vectors"),
        ("AACAPw==", "10 vectors"),
        ({"a": 1}, "10 vectors"),
    ],
)
def test_vectors_are_checked(embedding_server, service, vector, fact):
    def answer(handler, asked):
        good = [{"index": i, "embedding": handler.server.vector(t)} for i, t in enumerate(asked["input"])]
        handler.vectors(asked, data=[*good[:-1], {"index": len(good) - 1, "embedding": vector}])

    embedding_server.script.append(answer)
    assert fact in refusal(service)


def test_all_answers_have_one_length(embedding_server, service, small_batches):
    embedding_server.script.extend(
        [lambda h, a: h.vectors(a), lambda h, a: h.vectors({**a, "dimensions": 3})]
    )
    assert "8 and 3" in refusal(service, kind=InputError)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, InputError])
def test_what_arrived_before_an_end_is_kept_and_nothing_more_is_asked(
    embedding_server, service, small_batches, ending
):
    kept: list[int] = []

    def take(positions, vectors):
        kept.extend(positions)
        if len(kept) == 4:
            raise ending

    embedding_server.delay = 0.02
    with pytest.raises(ending):
        service.encode(TEXTS, take)
    assert kept == [0, 1, 2, 3]
    time.sleep(0.1)
    assert len(embedding_server.asked) <= 4


def test_an_end_does_not_wait_for_answers_that_are_to_come(embedding_server, service, small_batches):
    embedding_server.script.extend([lambda h, a: time.sleep(5), error(401)])
    start = time.monotonic()
    with pytest.raises(InputError):
        replace(service, concurrency=2).encode(TEXTS)
    assert time.monotonic() - start < 4


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "maximum allowed"), (413, ""), (422, "batch size 10 > maximum allowed batch size 3"),
        (429, "Request too large for some-model"),
    ],
)  # fmt: skip
def test_a_server_that_takes_less_at_once_gets_less(embedding_server, service, waits, status, said):
    def pickily(handler, asked):
        embedding_server.script.append(pickily)
        if len(asked["input"]) > 3:
            handler.say(status, {"error": said})
        else:
            handler.vectors(asked)

    embedding_server.script.append(pickily)
    np.testing.assert_array_equal(service.encode(TEXTS), embedding_server.unit(TEXTS))
    assert waits == []


def test_a_text_that_is_too_long_for_the_service_is_named(embedding_server, service):
    def pickily(handler, asked):
        embedding_server.script.append(pickily)
        if any(len(text) > 100 for text in asked["input"]):
            handler.say(400, {"error": {"message": "maximum context length is 40 tokens"}})
        else:
            handler.vectors(asked)

    embedding_server.script.append(pickily)
    with pytest.raises(InputError) as refused:
        service.encode([*TEXTS, "a long one " * 60])
    for fact in ("40 tokens", "'a long one a", "--max-tokens"):
        assert fact in str(refused.value)
    texts = [*TEXTS, "a long one " * 60]
    np.testing.assert_array_equal(
        replace(service, max_tokens=20).encode(texts)[:10], embedding_server.unit(TEXTS)
    )


def test_long_texts_are_averaged_over_windows(embedding_server, service):
    long = "gene " * 300 + "a" * 400 + " gene" * 30
    small = replace(service, max_tokens=128)
    cut = windows(long, 128)
    tokens = [estimated_tokens(words) for words in cut]
    assert small.workload(["short", long, "short"]).windows == 2 + len(cut)
    assert len(set(tokens)) > 1
    assert "".join(cut) == long
    assert all(n <= 96 for n in tokens)
    mean = np.average(embedding_server.unit(cut).astype(float), axis=0, weights=tokens)
    vectors = small.encode(["short", long, "shorter"])
    np.testing.assert_allclose(vectors[1], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(vectors[[0, 2]], embedding_server.unit(["short", "shorter"]))


def test_long_texts_are_cut_off_where_asked(embedding_server, service):
    long = "gene " * 500
    replace(service, max_tokens=100, long_text="truncate").encode([long])
    (sent,) = embedding_server.texts
    assert long.startswith(sent)
    assert estimated_tokens(sent) == 75
    assert head("gene", 100) == "gene"


def test_an_empty_text_is_refused_before_anything_is_sent(embedding_server, service):
    assert "Text 2 of 3" in refusal(service, ["a", " ", "b"], InputError)
    assert embedding_server.asked == []


def test_dimensions_are_passed_on(embedding_server):
    encoder = open_service("text-embedding-3-large", EncoderOptions(dimensions=5))
    assert encoder.dim == 5
    assert encoder.info.dimensions == 5
    np.testing.assert_array_equal(encoder.encode(TEXTS), embedding_server.unit(TEXTS, 5))
    assert embedding_server.asked[0]["dimensions"] == 5


def test_a_known_model_has_its_length(embedding_server):
    assert "1536" in refusal(open_service("text-embedding-ada-002", EncoderOptions()), ["a"])


@pytest.mark.parametrize(
    ("model", "options", "fact"),
    [
        ("", {}, "text-embedding-3-small"),
        ("text-embedding-ada-002", {"dimensions": 256}, "dimensions"),
        ("text-embedding-3-small", {"dimensions": 1537}, "1,537"),
        ("m", {"dimensions": 0}, "0 dimensions"),
        ("m", {"pooling": "cls"}, "pooling"),
        ("m", {"device": "cuda"}, "device"),
        ("m", {"precision": "int8"}, "precision"),
        ("m", {"max_tokens": 9000}, "9000"),
    ],
)
def test_options_that_do_not_fit_are_refused(embedding_server, model, options, fact):
    with pytest.raises(InputError) as refused:
        open_service(model, EncoderOptions(**options))
    assert fact in str(refused.value)


@pytest.mark.parametrize(
    ("url", "key", "variable"),
    [
        (None, None, "OPENAI_API_KEY"),
        (None, "  ", "OPENAI_API_KEY"),
        ("https://gpu.example/v1", None, "OPENAI_API_KEY"),
        ("http://gpu.example/v1", "secret-key", "plain http"),
        ("ftp://gpu.example/v1", "secret-key", "OPENAI_BASE_URL"),
        ("gpu.example/v1", "secret-key", "OPENAI_BASE_URL"),
        ("http://gpu.example:port/v1", "secret-key", "OPENAI_BASE_URL"),
        ("https://user:secret@gpu.example/v1", "secret-key", "OPENAI_BASE_URL"),
        ("https://gpu.example/v1", "secret\nkey", "OPENAI_API_KEY"),
        ("https://gpu.example/v1", "secret–key", "OPENAI_API_KEY"),
    ],
)
def test_the_environment_is_checked_before_anything_is_sent(monkeypatch, url, key, variable):
    for name, value in (("OPENAI_BASE_URL", url), ("OPENAI_API_KEY", key)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        open_service("m", EncoderOptions()).encode(["a"])
    assert variable in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "gpu.example" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:1/v1", "http://[::1]:1/v1", "http://gpu.example/v1"])
def test_a_server_of_yours_may_need_no_key(monkeypatch, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    encoder = open_service("m", EncoderOptions())
    encoder.check()
    assert "gpu.example" not in repr(encoder) + encoder.cache_key


def test_without_a_key_none_is_sent(embedding_server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    open_service("m", EncoderOptions()).encode(["a"])
    assert "Authorization" not in embedding_server.headers[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://127.0.0.1.invalid/v1"])
def test_nobody_there_is_said_soon(service, waits, monkeypatch, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("no_proxy", "*")
    assert "OPENAI_BASE_URL" in refusal(open_service("m", EncoderOptions()))
    assert len(waits) == 2


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
    assert not [secret for secret in SECRETS if secret in "".join(mine)]


@pytest.mark.parametrize("text", ["", "a", "胰岛素 🧬 β", "x" * 10_000, "a b " * 2000, "\n\n  "])
def test_windows_are_the_text(text):
    for limit in (1, 16, 100):
        assert "".join(windows(text, limit)) == text
        assert text.startswith(head(text, limit))
