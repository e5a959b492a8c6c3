"""Requests to an embeddings service: several at a time, as fast as it allows, again where that may help.

They go through urllib3, as downloads do, and not OpenAI's own client: that one asks for base64, which many
compatible servers do not know, and tries again where the quota is used up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._http import Backoff, connection_pool, read_body
from lexicell.errors import InputError, LexicellError
from lexicell.lexicon.encoders.openai_protocol import Later, Service, Smaller, go_duration, judge
from lexicell.lexicon.encoders.token_estimate import estimated_tokens, windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lexicell.lexicon._manifest import LongText

__all__ = ["Client", "Clock"]

_WORTH_TELLING = 5.0  # seconds of waiting
_SHORT = 16  # tokens that any model takes
_UNLIMITED = 1 << 40


def _wait(stop: threading.Event, seconds: float) -> None:
    stop.wait(seconds)


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need not wait.

    Attributes
    ----------
    now
        Monotonic seconds.
    wait
        Waits for so many seconds, or until the event is set.
    """

    now: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], None] = _wait


class _StoppedError(Exception):
    """The caller has no use for further answers."""


@dataclass
class _Allowance:
    """One rate limit (requests or tokens), as the service last stated it; it refills at an even rate."""

    left: float | None = None
    most: float = float("inf")
    rate: float = 0.0
    at: float = 0.0
    waiting: float = 0.0

    def told(self, limit: str | None, left: str | None, reset: str | None, now: float) -> None:
        remaining = _number(left)
        seconds = None if reset is None else go_duration(reset)
        if remaining is None or not seconds:
            self.left = None
            return
        ceiling = _number(limit)
        # Where no limit is stated, the next request is held back until the reset.
        back = ceiling - remaining if ceiling is not None and ceiling > remaining else 1.0
        self.most = ceiling or float("inf")
        self.left, self.rate, self.at = remaining - self.waiting, back / seconds, now

    def take(self, need: float, now: float) -> float:
        """Seconds to wait before `need` may be used."""
        if self.left is None:
            return 0.0
        self.left += self.rate * (now - self.at) - min(need, self.most)
        self.at = now
        return max(0.0, -self.left / self.rate)


@dataclass
class Client:
    """Sends batches of texts to a service from several threads.

    Attributes
    ----------
    service
        The service that is called.
    long_text
        What is done with a text that the service finds too long.
    concurrency
        Requests under way at once.
    timeout
        Seconds after which a silent request is given up and sent again.
    backoff
        When to try again.
    clock
        How time passes.
    """

    service: Service
    long_text: LongText
    concurrency: int
    timeout: float
    backoff: Backoff
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _requests: _Allowance = field(default_factory=_Allowance)
    _tokens: _Allowance = field(default_factory=_Allowance)
    _not_before: float = 0.0
    _answers: int = 0

    def embed(
        self, batches: Sequence[Sequence[str]], tell: Callable[[str], None]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the number of a batch and its vectors, float32 ``[b, d]``, as answers arrive.

        Parameters
        ----------
        batches
            Texts of each request.
        tell
            Called with one line about longer waits, from the thread that iterates.

        Raises
        ------
        LexicellError
            If a batch cannot be had; answers to requests then under way are yielded first.
        """
        jobs: SimpleQueue[tuple[int, Sequence[str]]] = SimpleQueue()
        results: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        stop = threading.Event()
        for job in enumerate(batches):
            jobs.put(job)
        pool = self._pool()

        def work() -> None:
            while not stop.is_set():
                try:
                    batch, texts = jobs.get_nowait()
                except Empty:
                    break
                try:
                    exchange = _Exchange(self, pool, stop, lambda line: results.put((-1, line)))
                    results.put((batch, exchange.vectors(texts)))
                except _StoppedError:
                    break
                except BaseException as error:  # raised again where answers are awaited
                    results.put((batch, error))
                    stop.set()
            results.put((-1, None))

        running = min(self.concurrency, len(batches))
        for number in range(running):
            # Daemons: Ctrl-C does not wait for answers that are still to come.
            threading.Thread(target=work, name=f"embeddings-{number}", daemon=True).start()
        failure: BaseException | None = None
        try:
            while running:
                batch, result = results.get()
                if result is None:
                    running -= 1
                elif isinstance(result, str):
                    tell(result)
                elif isinstance(result, BaseException):
                    failure = failure or result
                else:
                    yield batch, result
        except KeyboardInterrupt:  # what has arrived is paid for
            stop.set()
            while not results.empty():
                batch, result = results.get()
                if isinstance(result, np.ndarray):
                    yield batch, result
            raise
        finally:
            stop.set()
            pool.clear()
        if failure is not None:
            raise failure

    def _pool(self) -> Any:
        import urllib3

        if not self.service.is_local:
            return connection_pool(self.service.endpoint, connections=self.concurrency, timeout=self.timeout)
        # A proxy is for other machines: it would not find this one, and see the key.
        return urllib3.PoolManager(maxsize=self.concurrency, block=True, retries=False, timeout=self.timeout)

    def before_request(self, tokens: int) -> float:
        """Reserve one request of so many tokens; seconds to wait before it is sent."""
        with self._lock:
            now = self.clock.now()
            wait = max(self._requests.take(1, now), self._tokens.take(tokens, now), self._not_before - now)
            if wait > 0:
                self._requests.waiting += 1
                self._tokens.waiting += tokens
            return max(0.0, wait)

    def waited(self, tokens: int) -> None:
        """Take note that a request that had to wait is sent."""
        with self._lock:
            self._requests.waiting -= 1
            self._tokens.waiting -= tokens

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says about rate limits."""
        with self._lock:
            now = self.clock.now()
            for name, allowance in (("requests", self._requests), ("tokens", self._tokens)):
                limit, left, reset = (
                    headers.get(f"x-ratelimit-{kind}-{name}") for kind in ("limit", "remaining", "reset")
                )
                if left is not None:
                    allowance.told(limit, left, reset, now)

    def pause(self, seconds: float) -> None:
        """Hold every further request back for so long."""
        with self._lock:
            self._not_before = max(self._not_before, self.clock.now() + seconds)

    def answered(self) -> None:
        """Take note that the service gave vectors."""
        with self._lock:
            self._answers += 1

    @property
    def answers(self) -> int:
        """Answers with vectors so far."""
        return self._answers


@dataclass(frozen=True)
class _Exchange:
    """One batch, from its first request until its vectors are there."""

    client: Client
    pool: Any
    stop: threading.Event
    tell: Callable[[str], None]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, float32 ``[n, d]``."""
        client, service = self.client, self.client.service
        tokens = sum(map(estimated_tokens, texts))
        attempt, answers = 0, -1
        while True:
            self._wait_for_turn(tokens)
            outcome = self._post(texts)
            if isinstance(outcome, np.ndarray):
                client.answered()
                return outcome
            if isinstance(outcome, Smaller):
                return self._smaller(texts, outcome)
            if isinstance(outcome, LexicellError):
                raise outcome
            # A rate limit is no failure as long as other requests get through.
            attempt = 1 if outcome.limited and client.answers != answers else attempt + 1
            answers = client.answers
            if attempt >= client.backoff.attempts:
                message = (
                    f"Gave up on {service.label} after {attempt} attempts (last: {outcome.why}); "
                    "try again later."
                )
                raise LexicellError(message)
            seconds = client.backoff.seconds(attempt, outcome.asked)
            self._refuse_to_wait(outcome.asked or 0.0)
            if outcome.limited:
                client.pause(seconds)
            if seconds >= _WORTH_TELLING:
                self.tell(f"{service.label} answered {outcome.why}: trying again in {seconds:.0f} s")
            self._wait(seconds)

    def _post(self, texts: Sequence[str]) -> NDArray[np.float32] | Later | Smaller | LexicellError:
        """One request; errors of the connection name the address, so none of them leaves here."""
        import urllib3.exceptions as http

        client, service = self.client, self.client.service
        failed: Later | LexicellError
        try:
            answer = self.pool.request(
                "POST", service.endpoint, body=service.body(texts), headers=service.headers(),
                retries=False, redirect=False, preload_content=False,
            )  # fmt: skip
            limit = service.longest_answer(len(texts))
            body = read_body(answer, limit)
        except http.SSLError:
            failed = InputError(f"The certificate of {service.label} is not trusted, so nothing was sent.")
        except http.NewConnectionError:  # no server; later on that may be an interruption
            failed = (
                Later("no connection")
                if client.answers
                else LexicellError(f"Cannot connect to {service.label}; check its address and the network.")
            )
        except http.TimeoutError:
            failed = Later(f"no answer within {client.timeout:.0f} s")
        except (http.HTTPError, OSError):
            failed = Later("the connection broke")
        else:
            if body is None:
                return LexicellError(
                    f"The answer of {service.label} to {len(texts)} texts is longer than {limit >> 20} MiB; "
                    "is it an OpenAI-compatible /embeddings service?"
                )
            client.learn(answer.headers)
            return judge(service, answer.status, answer.headers, body, len(texts), time.time())
        return failed

    def _smaller(self, texts: Sequence[str], outcome: Smaller) -> NDArray[np.float32]:
        client = self.client
        if len(texts) > 1:
            middle = len(texts) // 2
            return np.concatenate([self.vectors(texts[:middle]), self.vectors(texts[middle:])])
        parts = windows(texts[0], _UNLIMITED, least=2 if client.long_text == "window" else 8)
        if len(parts) < 2 or estimated_tokens(texts[0]) < _SHORT:
            message = f"Even a single short text is too much for {client.service.label}: {outcome.why}."
            raise InputError(message)
        if client.long_text == "truncate":
            return self.vectors(["".join(part for part, _ in parts[:-1])])
        vectors = self.vectors([part for part, _ in parts])
        mean = np.average(vectors.astype(np.float64), axis=0, weights=[n for _, n in parts])
        unit: NDArray[np.float32] = (mean / np.linalg.norm(mean)).astype(np.float32)
        return unit[None, :]

    def _wait_for_turn(self, tokens: int) -> None:
        seconds = self.client.before_request(tokens)
        if not seconds:
            return
        try:
            self._refuse_to_wait(seconds / self.client.concurrency)  # others may be before this one
            if seconds >= _WORTH_TELLING:
                self.tell(f"Waiting {seconds:.0f} s for the rate limit of {self.client.service.label}")
            self._wait(seconds)
        finally:
            self.client.waited(tokens)

    def _refuse_to_wait(self, seconds: float) -> None:
        if seconds > self.client.backoff.patience:
            message = (
                f"The rate limit of {self.client.service.label} asks to wait for {seconds / 60:.0f} minutes; "
                "try again then."
            )
            raise LexicellError(message)

    def _wait(self, seconds: float) -> None:
        self.client.clock.wait(self.stop, seconds)
        if self.stop.is_set():
            raise _StoppedError


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None  # some services say -1 for unknown
