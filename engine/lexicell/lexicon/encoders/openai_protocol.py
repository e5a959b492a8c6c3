"""What is said to an OpenAI-compatible embeddings service, and what its answers mean.

Address and key of the service never leave `Service`: no message, and no error behind one, holds them.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import blake3
import numpy as np
from pydantic import SecretStr

from lexicell._files import parse_json
from lexicell._http import TRANSIENT, retry_after
from lexicell.errors import InputError, LexicellError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Later", "Service", "Smaller", "go_duration", "judge", "service_from_environment"]

_DEFAULT_URL = "https://api.openai.com/v1"
_URL_VARIABLE, _KEY_VARIABLE = "OPENAI_BASE_URL", "OPENAI_API_KEY"
_SHOWN = 200
# Of an answer in bytes; a number with all its digits, a sign, an exponent and white space around it.
_BESIDES, _BESIDES_VECTOR, _BYTES_PER_NUMBER, _MOST_DIMENSIONS = 1 << 20, 1 << 12, 40, 1 << 14
_TELLING = 4  # so many characters of a key in a row are a part of it, and no accident
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TOO_MUCH = re.compile(
    r"context.length|max_tokens_per_request|tokens per request|too (long|large|many)|"
    r"must have less than|maximum allowed batch|exceeds? .*(token|length|batch|size)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Service:
    """An embeddings service and the model that is used there.

    Attributes
    ----------
    model
        As the service spells it.
    url, key
        Where and as whom; never shown.
    dim
        Length of its vectors if it is known beforehand.
    dimensions
        Length to which it is requested to shorten its vectors.
    """

    model: str
    url: SecretStr
    key: SecretStr | None = None
    dim: int | None = None
    dimensions: int | None = None

    @property
    def label(self) -> str:
        """What messages call it."""
        return "OpenAI" if self.url.get_secret_value() == _DEFAULT_URL else f"the server of {_URL_VARIABLE}"

    @property
    def endpoint(self) -> str:
        """Where texts are sent to."""
        parts = urlsplit(self.url.get_secret_value())
        return parts._replace(path=parts.path + "/embeddings").geturl()

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine."""
        return _is_loopback(urlsplit(self.url.get_secret_value()).hostname or "")

    def check(self) -> None:
        """Raise `InputError` if a key is missing; only plain http and this machine do without."""
        if self.key is None and not self.is_local and self.endpoint.startswith("https:"):
            message = (
                f"The encoder openai:{self.model} needs a key: set the environment variable {_KEY_VARIABLE}, "
                f"or {_URL_VARIABLE} to a server on this machine that needs none."
            )
            raise InputError(message)

    @property
    def fingerprint(self) -> str:
        """Tells servers apart, one way: the address cannot be read from it."""
        digest = blake3.blake3(
            self.url.get_secret_value().encode(), derive_key_context="lexicell 2026 embeddings service"
        )
        return digest.hexdigest()[:32]

    def headers(self) -> dict[str, str]:
        """Headers of a request."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key.get_secret_value()}"
        return headers

    def body(self, texts: Sequence[str]) -> bytes:
        """Body of a request."""
        body: dict[str, Any] = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        return json.dumps(body).encode()

    def longest_answer(self, texts: int) -> int:
        """Bytes that an answer to so many texts may have; one that goes on would fill the memory."""
        dimensions = self.dimensions or self.dim or _MOST_DIMENSIONS
        return _BESIDES + texts * (_BESIDES_VECTOR + dimensions * _BYTES_PER_NUMBER)

    def scrubbed(self, text: str) -> str:
        """One line of `text` for people, without any word that holds a part of the key or the address."""
        url = self.url.get_secret_value()
        secrets = [] if url == _DEFAULT_URL else [urlsplit(url).netloc]
        if self.key is not None:
            secrets.append(self.key.get_secret_value())
        shown = [
            "[...]" if _echoes(word, secrets) else word for word in "".join(filter(_printable, text)).split()
        ]
        line = " ".join(shown)
        return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."


@dataclass(frozen=True)
class Later:
    """The same request may succeed later.

    Attributes
    ----------
    why
        For people.
    asked
        Seconds that the service asks to wait.
    limited
        Whether it is a rate limit that holds everything back.
    """

    why: str
    asked: float | None = None
    limited: bool = False


@dataclass(frozen=True)
class Smaller:
    """The request was too much at once, by its number of texts or by their length."""

    why: str


def service_from_environment(model: str, *, dim: int | None, dimensions: int | None) -> Service:
    """Return the service that ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` name.

    Raises
    ------
    InputError
        If the key would travel in clear, or key or address cannot be one.
    """
    url = (os.environ.get(_URL_VARIABLE) or _DEFAULT_URL).strip().rstrip("/")
    key = (os.environ.get(_KEY_VARIABLE) or "").strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    problem = None
    if host is None or parts.scheme not in {"http", "https"} or not url.isascii() or " " in url:
        problem = f"{_URL_VARIABLE} is not an http(s) address; it looks like {_DEFAULT_URL}."
    elif parts.username is not None or parts.query or parts.fragment:
        problem = f"{_URL_VARIABLE} holds a login or a query; give the bare address, and the key apart."
    elif key and not (key.isascii() and key.isprintable() and " " not in key):
        problem = f"{_KEY_VARIABLE} holds characters that no key has; set it again."
    elif key and parts.scheme == "http" and not _is_loopback(host):
        problem = (
            f"{_URL_VARIABLE} is plain http to another machine, where {_KEY_VARIABLE} could be read on the "
            f"way; use https or a tunnel, or unset {_KEY_VARIABLE} if that server needs none."
        )
    if problem is not None:
        raise InputError(problem)
    return Service(model, SecretStr(url), SecretStr(key) if key else None, dim, dimensions)


def judge(
    service: Service, status: int, headers: Mapping[str, str], body: bytes, n: int, now: float
) -> NDArray[np.float32] | Later | Smaller | LexicellError:
    """Say what an answer means.

    Parameters
    ----------
    service
        Who answered.
    status, headers, body
        The answer.
    n
        Texts that were sent.
    now
        Seconds since 1970, for dates in headers.

    Returns
    -------
    numpy.ndarray
        float32 ``[n, d]`` of unit length, in the order of the texts; or the reason why there is none.
    """
    if status == 200:
        return _vectors(service, headers, body, n)
    kind, error = _error(body)
    text = f" ({error})" if (error := service.scrubbed(error)) else ""
    name = service.label[0].upper() + service.label[1:]
    if "insufficient_quota" in kind or status == 402:
        return LexicellError(f"{name} says that the account's quota is used up; check its plan and billing.")
    if status == 413 or (status in {400, 422} and _TOO_MUCH.search(f"{kind} {error}")):
        return Smaller(f"{status}{text}")
    if status == 429 and "request too large" in error.lower():
        return Smaller(f"{status}{text}")
    if status == 401:
        return InputError(f"{name} does not accept the key in {_KEY_VARIABLE}; check or renew it.")
    if status == 403:
        return InputError(f"{name} does not let this key use the model {service.model!r} (403){text}.")
    if status in TRANSIENT or status >= 500:
        return Later(f"{status}{text}", _asked(headers, error, now), limited=status == 429)
    if status == 404:
        return InputError(
            f"{name} knows no model {service.model!r}, or nothing is at {_URL_VARIABLE} (404){text}."
        )
    if 300 <= status < 400:
        return InputError(
            f"{name} sends requests elsewhere ({status}), where no key is taken; set {_URL_VARIABLE} to the "
            "final address."
        )
    return InputError(f"{name} refused the request ({status}){text}.")


def go_duration(value: str) -> float | None:
    """Seconds of "12ms", "1s", "6m0s" or a bare number; None where it is neither."""
    value = value.strip()
    parts = _DURATION.findall(value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _asked(headers: Mapping[str, str], error: str, now: float) -> float | None:
    milliseconds = go_duration(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    seconds = retry_after(headers, now)
    if seconds is not None:
        return seconds
    match = re.search(r"try again in ((?:\d+(?:\.\d+)?(?:ms|h|m|s))+)", error)
    return go_duration(match[1]) if match else None


def _error(body: bytes) -> tuple[str, str]:
    """Kind and message of an error, as far as the answer holds them; servers differ."""
    try:
        content = parse_json(body)
    except ValueError:
        return "", ""
    error = content.get("error", content) if isinstance(content, dict) else content
    if isinstance(error, str):
        return "", error
    if not isinstance(error, dict):
        return "", ""
    kind = f"{error.get('code')} {error.get('type')} {error.get('error_type')}"
    message = error.get("message") or error.get("detail") or ""
    return kind, message if isinstance(message, str) else json.dumps(message)


def _vectors(
    service: Service, headers: Mapping[str, str], body: bytes, n: int
) -> NDArray[np.float32] | LexicellError:
    def odd(fault: str) -> LexicellError:
        name = service.label[0].upper() + service.label[1:]
        return LexicellError(f"{name} answered with {fault}; is it an OpenAI-compatible /embeddings service?")

    try:
        content = parse_json(body)
    except ValueError:
        kind = headers.get("Content-Type", "").partition(";")[0].strip()
        return odd(service.scrubbed(f"{kind or 'something'} that is not JSON"))
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        return odd("JSON without a list of vectors")
    if len(data) != n:
        return odd(f"{len(data)} vectors for {n} texts")
    by_index = {item["index"]: item.get("embedding") for item in data if isinstance(item.get("index"), int)}
    if set(by_index) != set(range(n)):
        return odd("vectors that do not say which text each is for")
    dim = service.dimensions or service.dim
    rows = []
    for index in range(n):
        try:
            row = np.asarray(by_index[index], dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return odd("vectors that are not lists of numbers")
        if row.ndim != 1 or not row.size:
            return odd("vectors that are not lists of numbers")
        dim = dim or len(row)
        if len(row) != dim:
            return odd(f"a vector of length {len(row)}, not {dim}")
        with np.errstate(over="ignore"):
            length = np.linalg.norm(row)
        if not np.isfinite(length) or length == 0:
            return odd("a vector that is zero or not finite")
        rows.append((row / length).astype(np.float32))
    return np.stack(rows)


def _echoes(word: str, secrets: Sequence[str]) -> bool:
    if "sk-" in word or "**" in word:
        return True
    parts = (secret[i : i + _TELLING] for secret in secrets for i in range(len(secret) - _TELLING + 1))
    return any(part in word for part in parts)


def _printable(character: str) -> bool:
    return character.isprintable() or character.isspace()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
