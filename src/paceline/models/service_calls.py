"""Requests to a service: several at a time, not too many, tried again where that may help, and never for ever.

They run in an event loop on a thread of their own, so that the caller's thread keeps each answer as it comes, and a
signal ends all of them at once. Imports no torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import email.utils
import queue
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from paceline.config.schema import ServiceSpec
from paceline.counted import counted
from paceline.errors import ServiceUnavailable, UserError
from paceline.models.answerer import Answer, Request

POLL_SECONDS = 0.2
GRACE_SECONDS = 5.0
"""How long requests that are under way may still take once the process is told to stop: they are paid for."""
LONGEST_WAIT = 60.0
NOTE_SECONDS = 10.0
REFUSED_AT_FIRST = 5
"""Requests that fail for good, before any is answered, after which the cause is in what is asked of all."""


class Failed(Exception):
    """One try that came to nothing; another may not. Its text is the reason.

    Args:
        reason: in one line, without secrets.
        busy: the service works and has no room: no fault of the request.
        wait: seconds after which the service wants to be asked again; None where it does not say.
    """

    def __init__(self, reason: str, busy: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.busy, self.wait = busy, wait


class Refused(Exception):
    """A request that no further try will get an answer to. Its text is the reason."""


class Pace:
    """When the next request may begin: so many a minute at most, evenly, and none during a pause."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._interval = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._next = 0.0
        self._paused_until = 0.0

    def turn(self) -> float:
        """Take the next turn; the seconds until it."""
        now = self._clock()
        at = max(now, self._next)
        self._next = at + self._interval
        return at - now

    def pause(self, seconds: float) -> None:
        """Let no request begin for so long."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def paused(self) -> float:
        """Seconds until a request may begin again."""
        return max(0.0, self._paused_until - self._clock())


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that a reply asks to wait, as a number or a date; None where it says nothing that can be read.

    Args:
        headers: of the reply, names in lower case.
        now: seconds since the epoch.
    """
    with contextlib.suppress(ValueError):
        if "retry-after-ms" in headers:
            return _finite(float(headers["retry-after-ms"]) / 1000)
    text = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return _finite(float(text))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    return None


def _finite(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds < float("inf") else None  # NaN is no number of seconds either


@dataclass
class Counts:
    """What was asked of a service by one process."""

    requests: int = 0
    failures: int = 0
    answers: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0

    def told(self, spec: ServiceSpec) -> str:
        """For the log, in one line."""
        usd = (self.prompt_tokens * spec.read_usd + self.new_tokens * spec.written_usd) / 1e6
        price = f", ${usd:,.4f} at the prices of the model's file" if usd else ""
        return (
            f"{counted(self.requests, 'request')}, {self.failures:,} of them failed; "
            f"{counted(self.answers, 'answer')}: {self.prompt_tokens:,} tokens read, {self.new_tokens:,} written{price}"
        )


@dataclass
class Calls:
    """Requests of one process to one service.

    Attributes:
        spec: limits and time-outs.
        body: what is sent for a request; run on another thread, as it decodes and encodes pictures.
        post: sends a body, once; raises :class:`Failed` or :class:`Refused`, or an error that ends all.
        canary: a body that any working service of this model answers in a moment.
        connection: a context that holds connections while requests run.
        clock: seconds, for the tests.
        sleep: likewise.
        grace: how long requests under way may still take once all is to end.
        backoff: seconds of the first wait, where the service says none; each one after is twice as long.
    """

    spec: ServiceSpec
    body: Callable[[Request], dict[str, Any]]
    post: Callable[[dict[str, Any]], Any]
    canary: dict[str, Any]
    connection: Callable[[], contextlib.AbstractAsyncContextManager[Any]]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Any] = asyncio.sleep
    grace: float = GRACE_SECONDS
    backoff: float = 1.0
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        # Of the process: its cells follow one another, and the rate holds from the one to the next.
        self.pace = Pace(self.spec.requests_per_minute, self.clock)

    def answers(
        self, requests: Iterable[Request], stop: Callable[[], bool], note: Callable[[str], None], proved: bool
    ) -> Iterator[tuple[int, Answer]]:
        """As :meth:`paceline.models.answerer.Service.answers`."""
        self.counts = Counts()
        results: queue.Queue[tuple[int, Answer] | BaseException | None] = queue.Queue()
        asking = _Asking(self, stop, note, results)
        thread = threading.Thread(target=asking.run, args=(requests,), daemon=True, name="requests")
        thread.start()
        withheld: list[tuple[int, Answer]] = []
        try:
            while (result := results.get()) is not None:
                if isinstance(result, BaseException):
                    raise result
                proved = proved or result[1].finish != "error"
                withheld.append(result)
                if not proved and len(withheld) >= REFUSED_AT_FIRST:
                    break
                if proved:
                    yield from withheld
                    withheld.clear()
            if withheld and not stop():
                reason = withheld[0][1].data.get("reason", "")
                raise UserError(f"the service answers none of the requests, {len(withheld)} tried: {reason}")
        finally:
            asking.abandon()
            thread.join(self.grace)
            if self.counts.requests:
                note(self.counts.told(self.spec))


class _Asking:
    """One run of the loop: which requests wait, which are under way, and when the last answer came."""

    def __init__(
        self, calls: Calls, stop: Callable[[], bool], note: Callable[[str], None], results: queue.Queue[Any]
    ) -> None:
        self.calls, self.spec, self.stop, self.results = calls, calls.spec, stop, results
        self._note, self._noted = note, -NOTE_SECONDS
        self._loop: asyncio.AbstractEventLoop | None = None
        self._abandoned = False
        self._stopping = False
        self._under_way = 0
        self._last_answer = -float("inf")
        self._pace = calls.pace

    def run(self, requests: Iterable[Request]) -> None:
        """The thread: runs the loop to its end, and hands over what ended it."""
        ended: BaseException | None = None
        try:
            asyncio.run(self._all(requests))
        except BaseException as error:  # it belongs to the caller's thread
            ended = error
        self.results.put(ended)

    def abandon(self) -> None:
        """End all, whatever is under way. From the caller's thread."""
        self._abandoned = True

    async def _all(self, requests: Iterable[Request]) -> None:
        self._places = asyncio.Semaphore(self.spec.concurrency)
        # Those that wait to be asked again keep no place, so that one which always fails holds up no other.
        most = 2 * self.spec.concurrency + 2
        waiting = iter(requests)
        running: set[asyncio.Task[None]] = set()
        error: BaseException | None = None
        more = True
        async with self.calls.connection():
            try:
                while (more or running) and error is None and not self.stop() and not self._abandoned:
                    while more and len(running) < most:
                        request = next(waiting, None)
                        more = request is not None
                        if request is not None:
                            running.add(asyncio.create_task(self._deliver(request)))
                    if running:
                        done, running = await asyncio.wait(
                            running, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
                        )
                        errors = [e for t in done if not t.cancelled() and (e := t.exception()) is not None]
                        error = errors[0] if errors else None
                self._stopping = True
                until = time.monotonic() + self.calls.grace
                while self._under_way and running and time.monotonic() < until and not self._abandoned:
                    done, running = await asyncio.wait(
                        running, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    await asyncio.gather(*done, return_exceptions=True)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        if error is not None:
            raise error

    async def _deliver(self, request: Request) -> None:
        try:
            body = await asyncio.to_thread(self.calls.body, request)
            answer = await self._answered(body)
        except Exception:  # it ends all: those that wait for a place are not to begin
            self._stopping = True
            raise
        counts = self.calls.counts
        counts.answers += 1
        counts.prompt_tokens += answer.prompt_tokens
        counts.new_tokens += answer.new_tokens
        self.results.put((request.number, answer))

    async def _answered(self, body: dict[str, Any]) -> Answer:
        """The answer to a request, after as many tries as it takes.

        Raises:
            ServiceUnavailable: no request was answered for too long.
        """
        since: float | None = None
        tries = failures = 0
        while True:
            tries += 1
            try:
                answer = await self._tried(body)
            except Refused as refused:
                return failed_for_good(str(refused), tries)
            except Failed as failure:
                now = self.calls.clock()
                since = now if since is None else since
                failures += not failure.busy
                self.calls.counts.failures += 1
                if not failure.busy and failures >= self.spec.tries and await self._works(since):
                    return failed_for_good(str(failure), tries)
                await self._wait(failure, tries, max(since, self._last_answer))
            else:
                self._last_answer = self.calls.clock()
                return answer if tries == 1 else dataclasses.replace(answer, data={**answer.data, "tries": tries})

    async def _tried(self, body: dict[str, Any]) -> Answer:
        async with self._place():
            self.calls.counts.requests += 1
            answer: Answer = await self.calls.post(body)
            return answer

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """A place among the requests under way, once it is this one's turn."""
        async with self._places:
            if wait := self._pace.turn():
                await self.calls.sleep(wait)
            while wait := self._pace.paused():
                await self.calls.sleep(wait)
            if self._stopping:
                raise asyncio.CancelledError
            self._under_way += 1
            try:
                yield
            finally:
                self._under_way -= 1

    async def _works(self, since: float) -> bool:
        """Whether the service answers others: it did since a time, or does when it is asked something plain."""
        if self._last_answer > since:
            return True
        try:
            await self._tried(self.calls.canary)
        except (Failed, Refused):
            return False
        return True

    async def _wait(self, failure: Failed, tries: int, since: float) -> None:
        """Wait until a request is worth another try: as long as the service says, else longer from try to try.

        Raises:
            ServiceUnavailable: it would take longer than is let.
        """
        patience = 60 * self.spec.patience_minutes
        wait = failure.wait
        if wait is None:
            # Drawn, so that requests that failed together do not come back together.
            wait = min(LONGEST_WAIT, self.calls.backoff * 2.0 ** min(tries - 1, 10)) * random.uniform(0.5, 1.0)
        else:
            wait = max(wait, self.calls.backoff * min(tries, 100) / 10)  # one that says 0 for ever is not hammered
            if failure.busy:
                self._pace.pause(wait)
        silent = self.calls.clock() - since
        if silent + wait > patience:
            raise ServiceUnavailable(
                f"no answer for {silent / 60:.1f} minutes, and more than model.service.patience_minutes="
                f"{self.spec.patience_minutes:g} with the next wait: {failure}"
            ) from None
        if self.calls.clock() - self._noted >= NOTE_SECONDS:
            self._noted = self.calls.clock()
            self._note(f"{failure}; asked again in {wait:.1f} s")
        await self.calls.sleep(wait)


def failed_for_good(reason: str, tries: int) -> Answer:
    """The answer to a request that failed for good."""
    return Answer("", 0, 0, "error", {"reason": reason, **({"tries": tries} if tries > 1 else {}), "asked": utc_now()})


def utc_now() -> str:
    """The time, to the second, as data of an answer keeps it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
