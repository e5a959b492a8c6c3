"""An OpenAI-compatible embeddings service: one request at a time, and what its answers mean.

Address and key of the service never leave `Service`: no message, and no error behind one, holds them.

Not by the package ``openai``: its answers would have to be checked all the same (HTML comes back as text,
vectors as whatever they are), and it follows redirects to other hosts, asks again where the quota is used
up, reads answers without end, shows a key that a server echoes, and takes half a second and 30 MB.
"""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import blake3
import numpy as np
from pydantic import SecretStr

from lexicell._files import parse_json
from lexicell._http import FailedRequestError, TransientError, connection_pool, is_transient, send
from lexicell.errors import InputError, LexicellError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import urllib3
    from numpy.typing import NDArray

__all__ = ["RefusedTextsError", "Service", "service_from_environment"]

_DEFAULT_URL = "https://api.openai.com/v1"
_URL_VARIABLE, _KEY_VARIABLE = "OPENAI_BASE_URL", "OPENAI_API_KEY"
_TIMEOUT = 60.0  # seconds after which a silent request is sent again
_ATTEMPTS = 8  # of a request: for 1.5 to 3 minutes, as limits per minute need
_SHOWN = 200
# Of an answer in bytes; a number with all its digits, a sign, an exponent and white space around it.
_BESIDES, _BESIDES_VECTOR, _BYTES_PER_NUMBER, _MOST_DIMENSIONS = 1 << 20, 1 << 12, 40, 1 << 14
_TELLING = 4  # so many characters of a key in a row are a part of it, and no accident


class RefusedTextsError(InputError):
    """The service takes none of the texts of a request: they are too many, or one of them is too long."""


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
        """What messages call it, at their beginning."""
        return "OpenAI" if self.url.get_secret_value() == _DEFAULT_URL else f"The server of {_URL_VARIABLE}"

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine."""
        return _is_loopback(urlsplit(self.url.get_secret_value()).hostname or "")

    def check(self) -> None:
        """Raise `InputError` if a key is missing; only plain http and this machine do without."""
        if self.key is None and not self.is_local and self.url.get_secret_value().startswith("https:"):
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

    def connect(self, connections: int) -> urllib3.PoolManager:
        """Return a pool of so many connections; nothing is sent yet."""
        import urllib3

        if self.is_local:  # a proxy is for other machines: it would not find this one, and see the key
            return urllib3.PoolManager(maxsize=connections, timeout=_TIMEOUT)
        return connection_pool(self.url.get_secret_value(), connections=connections, timeout=_TIMEOUT)

    def embed(
        self, pool: urllib3.PoolManager, texts: Sequence[str], notify: Callable[[str], None]
    ) -> NDArray[np.float32]:
        """Ask for the vectors of a few texts.

        Parameters
        ----------
        pool
            From `connect`.
        texts
            As many as the service takes in one request.
        notify
            Called with one line before the request is repeated.

        Returns
        -------
        numpy.ndarray
            float32 ``[n, d]`` of unit length, in the order of `texts`.

        Raises
        ------
        RefusedTextsError
            If fewer or shorter texts may succeed.
        InputError
            If the service refuses key, model or request.
        LexicellError
            If it cannot be reached, has no quota left, or answers something else than vectors.
        """
        # Many compatible servers do not know base64, in which vectors come by default.
        body: dict[str, Any] = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key.get_secret_value()}"
        parts = urlsplit(self.url.get_secret_value())
        try:
            return send(
                pool, "POST", parts._replace(path=parts.path + "/embeddings").geturl(),
                lambda response: self._vectors(response, len(texts)), attempts=_ATTEMPTS,
                notify=lambda line: notify(self._scrubbed(f"{self.label}: {line}")),
                body=json.dumps(body).encode(), headers=headers,
            )  # fmt: skip
        except FailedRequestError as error:
            failure = error
        if failure.untrusted:
            message = f"The certificate of {self.label} is not trusted ({failure}), so nothing was sent."
            raise InputError(self._scrubbed(message))
        message = f"{self.label} gave no vectors ({self._scrubbed(str(failure))}); try again later."
        raise LexicellError(message)

    def _vectors(self, response: urllib3.BaseHTTPResponse, n: int) -> NDArray[np.float32]:
        dim = self.dimensions or self.dim
        most = _BESIDES + n * (_BESIDES_VECTOR + (dim or _MOST_DIMENSIONS) * _BYTES_PER_NUMBER)
        body = response.read(most + 1)
        if len(body) <= most and response.status != 200:
            raise self._refusal(response.status, body)
        if len(body) > most:  # one without end would fill the memory
            vectors: NDArray[np.float32] | str = f"more than {most >> 20} MiB to {n} texts"
        else:
            vectors = _unit_vectors(body, n, dim)
        if isinstance(vectors, str):
            message = f"{self.label} answered with {vectors}; is it an OpenAI-compatible /embeddings service?"
            raise LexicellError(message)
        return vectors

    def _refusal(self, status: int, body: bytes) -> Exception:
        kind, said = _error(body)
        text = f"{status}: {self._scrubbed(said)}" if said else str(status)
        if "insufficient_quota" in kind or status == 402:
            message = f"{self.label} says that the account's quota is used up; check its plan and billing."
            return LexicellError(message)
        # Of the limits per minute, one that a single request exceeds does not pass.
        if status in {400, 413, 422} or (status == 429 and "too large" in said.lower()):
            return RefusedTextsError(f"{self.label} refused the request ({text}).")
        if is_transient(status):
            return TransientError(f"the answer was {text}")
        if status in {401, 403}:
            return InputError(f"{self.label} does not accept {_KEY_VARIABLE} for {self.model!r} ({text}).")
        if status == 404:
            message = f"{self.label} knows no model {self.model!r}, or has no /embeddings there ({text})."
            return InputError(message)
        if 300 <= status < 400:
            message = (
                f"{self.label} sends requests elsewhere ({status}), where no key is taken; set "
                f"{_URL_VARIABLE} to the final address."
            )
            return InputError(message)
        return InputError(f"{self.label} refused the request ({text}).")

    def _scrubbed(self, text: str) -> str:
        """One line of `text` for people, without any word that holds a part of the key or the address."""
        url = self.url.get_secret_value()
        secrets = [] if url == _DEFAULT_URL else [urlsplit(url).netloc]
        if self.key is not None:
            secrets.append(self.key.get_secret_value())
        readable = "".join(char for char in text if char.isprintable() or char.isspace())
        line = " ".join("[...]" if _echoes(word, secrets) else word for word in readable.split())
        return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."


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


def _unit_vectors(body: bytes, n: int, dim: int | None) -> NDArray[np.float32] | str:
    """Vectors of an answer, float32 ``[n, d]`` in the order of the texts; or what it holds instead."""
    try:
        by_index = {item["index"]: item["embedding"] for item in parse_json(body)["data"]}
        rows = [np.array(by_index.pop(i), dtype=np.float64) for i in range(n)]
    except (ValueError, TypeError, KeyError, OverflowError):
        rows, by_index = [], {}
    if len(rows) != n or by_index:
        return f"something else than {n} vectors for {n} texts"
    dim = dim or rows[0].size
    if any(row.shape != (dim,) for row in rows):
        return f"a vector whose length is not {dim}"
    with np.errstate(over="ignore"):
        lengths = [np.linalg.norm(row) for row in rows]
    if not all(0 < length < np.inf for length in lengths):
        return "a vector that is zero or not finite"
    return np.stack([row / length for row, length in zip(rows, lengths, strict=True)]).astype(np.float32)


def _error(body: bytes) -> tuple[str, str]:
    """Kind and message of an error, as far as the answer holds them; servers differ."""
    try:
        content = parse_json(body)
    except ValueError:
        return "", ""
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return "", str(error)
    return f"{error.get('code')} {error.get('type')}", str(error.get("message") or error.get("detail") or "")


def _echoes(word: str, secrets: Sequence[str]) -> bool:
    if "sk-" in word or "**" in word:
        return True
    parts = (secret[i : i + _TELLING] for secret in secrets for i in range(len(secret) - _TELLING + 1))
    return any(part in word for part in parts)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
