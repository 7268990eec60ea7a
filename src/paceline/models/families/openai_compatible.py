"""Models behind a service that speaks OpenAI's chat completions: OpenAI itself, vLLM, SGLang, `transformers serve`,
Ollama and others.

Pictures go as PNG in data URLs: the very pixels that a model on this machine would be shown. Imports no torch.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx

from paceline.config.schema import GenerationSpec, ModelSpec, Quantise
from paceline.config.service_settings import endpoint_url, request_fields, unsaid
from paceline.errors import ServiceUnavailable, UserError
from paceline.models.answerer import Answer, Finish, How, Reads, Request
from paceline.models.conversation import Conversation
from paceline.models.service_calls import Calls, Failed, Refused, retry_after, utc_now

MOST_BYTES = 16 << 20
"""Of a reply; no answer is as long."""
MOST_LETTERS = 500
"""Of a reason that is kept."""
# Seeds of 56 bits are more than some services take.
SEEDS = 2**31
BUSY = (429, 503, 529)
FILTERED = ("content_filter", "content_policy_violation", "moderation_blocked", "ResponsibleAIPolicyViolation")
USED_UP = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
FINISHES: Mapping[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
"""A reply's ``finish_reason`` -> ours; every other one ended the answer."""


class OpenAICompatible:
    """An answerer behind an endpoint of chat completions; a :class:`paceline.models.answerer.Service`."""

    served: ClassVar[bool] = True
    image_arguments: ClassVar[dict[str, str]] = {}
    model_types: ClassVar[tuple[str, ...]] = ()
    how: How = "generates"
    new_weights: ClassVar[str] = ""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.url = endpoint_url(spec)
        self._key = key_of(spec)
        self._client: httpx.AsyncClient | None = None
        # Another model behind the same service may take no picture, so what always works asks for text.
        plain = Request(-1, lambda: Conversation("Say yes."), GenerationSpec(new_tokens=16), 0)
        self.calls = Calls(spec.service, self.body, self.post, self.body(plain), self.connection)

    @classmethod
    def load(
        cls,
        spec: ModelSpec,
        tuned: Path | None = None,
        *,
        training: bool = False,
        device: str = "cpu",
        quantise: Quantise = "none",
    ) -> OpenAICompatible:
        """Ready to ask; nothing is asked yet.

        Raises:
            UserError: it is to be tuned or quantised, the endpoint is none, or its key is not in the environment.
        """
        if training or tuned is not None or quantise != "none":
            raise UserError(f"model {spec.name} is answered by a service: it can't be tuned or quantised here")
        return cls(spec)

    @property
    def reads(self) -> Reads:
        """What the model can be shown."""
        return Reads.of(self.spec.inputs)

    def answer(
        self, conversations: Sequence[Conversation], settings: GenerationSpec, seeds: Sequence[int]
    ) -> list[Answer]:
        """Answer conversations, each by a request of its own.

        Raises:
            UserError: a setting that the service has no field for, or what it refuses altogether.
            ServiceUnavailable: nothing was answered for too long.
        """
        requests = [
            Request(i, lambda c=c: c, settings, seed)  # type: ignore[misc]  # of a lambda's default no type is known
            for i, (c, seed) in enumerate(zip(conversations, seeds, strict=True))
        ]
        found = dict(self.answers(requests, lambda: False, lambda line: None))
        return [found[i] for i in range(len(requests))]

    def answers(
        self, requests: Iterable[Request], stop: Callable[[], bool], note: Callable[[str], None], proved: bool = False
    ) -> Iterator[tuple[int, Answer]]:
        """As :meth:`paceline.models.answerer.Service.answers`."""
        note(f"asks {self.spec.weights} at {self.url}")
        return self.calls.answers(requests, stop, note, proved)

    # -- what is sent

    def body(self, request: Request) -> dict[str, Any]:
        """The JSON of a request.

        Raises:
            UserError: a setting that it has no field for.
            DataError: a picture that can't be read.
        """
        settings = request.settings
        if problem := next(unsaid(self.spec, settings), ""):
            raise UserError(problem)
        body: dict[str, Any] = {
            "model": self.spec.weights,
            "messages": [],
            self.spec.service.limit_field: settings.new_tokens,
            "temperature": settings.temperature,
        }
        if settings.top_p < 1:
            body["top_p"] = settings.top_p
        if settings.temperature > 0:
            body["seed"] = request.seed % SEEDS
        fields = request_fields(self.spec, settings)
        detail = fields.pop("detail", None)
        body |= fields
        body["messages"] = messages(request.conversation(), detail)
        return {key: value for key, value in body.items() if value is not None}

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Connections to the service, kept open from request to request."""
        service = self.spec.service
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "paceline"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        host = urlsplit(self.url).hostname or ""
        async with httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(service.read_seconds, connect=service.connect_seconds, pool=None),
            limits=httpx.Limits(max_connections=service.concurrency + 1, max_keepalive_connections=service.concurrency),
            # A proxy of the environment leads elsewhere than to this machine.
            trust_env=host not in ("localhost", "::1") and not host.startswith("127."),
        ) as self._client:
            yield
        self._client = None

    async def post(self, body: dict[str, Any]) -> Answer:
        """Send a request once, and read the reply.

        Raises:
            Failed: no reply, or one that another try may mend.
            Refused: the service will not answer this request.
            ServiceUnavailable: the account is used up.
            UserError: the service refuses all requests: a wrong key, no such model.
        """
        assert self._client is not None
        asked, began = utc_now(), time.monotonic()
        try:
            async with asyncio.timeout(self.spec.service.whole_seconds):
                async with self._client.stream(
                    "POST", f"{self.url}/chat/completions", content=json.dumps(body).encode()
                ) as reply:
                    status, headers = reply.status_code, {k.lower(): v for k, v in reply.headers.items()}
                    text = await self._text(reply)
        except TimeoutError:
            seconds = self.spec.service.whole_seconds
            raise Failed(f"no whole reply within model.service.whole_seconds={seconds:g}") from None
        except httpx.HTTPError as error:
            why = self.redacted(f"{type(error).__name__}: {error}".rstrip(": "))
            if "CERTIFICATE_VERIFY_FAILED" in why:
                raise UserError(f"{self.url}: {why}; SSL_CERT_FILE names a file of the certificates to trust") from None
            raise Failed(why) from None
        answer = self.read(status, headers, text)
        seconds = round(time.monotonic() - began, 3)
        return Answer(
            answer.text,
            answer.prompt_tokens,
            answer.new_tokens,
            answer.finish,
            {"asked": asked, "seconds": seconds, **answer.data},
        )

    async def _text(self, reply: httpx.Response) -> str:
        content = bytearray()
        async for chunk in reply.aiter_bytes():
            content += chunk
            if len(content) > MOST_BYTES:
                raise Failed(f"a reply of more than {MOST_BYTES >> 20} MiB")
        return self.redacted(content.decode("utf-8", errors="replace"))

    def redacted(self, text: str) -> str:
        """A text without the key, which some services repeat in their errors."""
        return text.replace(self._key, "[key]") if self._key else text

    # -- what is read

    def read(self, status: int, headers: Mapping[str, str], text: str) -> Answer:
        """The answer in a reply.

        Args:
            status: of HTTP.
            headers: names in lower case.
            text: the body, without the key.

        Raises:
            Failed, Refused, ServiceUnavailable, UserError: as :meth:`post`.
        """
        try:
            reply = json.loads(text)
        except ValueError:
            reply = None
        if status == 200:
            return self._answer_in(reply, headers)
        code, said = said_of_error(reply, text)
        reason = f"HTTP {status}: {said}"
        if code in FILTERED and 400 <= status < 500:
            return Answer("", 0, 0, "content_filter", {"reason": reason})
        if code in USED_UP:
            raise ServiceUnavailable(f"{self.url}: the account is used up: {reason}")
        if status in (401, 403):
            sent = f"the key in {self.spec.service.key}" if self._key else "a request without a key (model.service.key)"
            raise UserError(f"{self.url} refuses {sent}: {reason}")
        if status in (404, 405, 501):
            raise UserError(
                f"{self.url}/chat/completions with model '{self.spec.weights}': {reason}; look at model.endpoint and "
                "at the names that GET /models lists (model.weights)"
            )
        if 300 <= status < 400:
            raise UserError(f"{self.url} leads elsewhere ({reason}); a key is not sent on: name the place itself")
        if status in (408, 409, 425, 429) or status >= 500:
            raise Failed(reason, busy=status in BUSY, wait=retry_after(headers, time.time()))
        raise Refused(reason)

    def _answer_in(self, reply: Any, headers: Mapping[str, str]) -> Answer:
        """The answer in a reply that says that there is one."""
        if not isinstance(reply, dict):
            kind = headers.get("content-type", "no type").partition(";")[0]
            raise Failed(f"a reply that is no JSON object ({kind})")
        if reply.get("error"):
            raise Failed(f"HTTP 200: {said_of_error(reply, '')[1]}")
        choices = reply.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            raise Failed("a reply without choices" if choice is None else "a choice without a message")
        said, refusal = text_of(message.get("content")), message.get("refusal")
        if said is None:
            raise Failed("a message whose content is no text")
        reason = str(choice.get("finish_reason") or "stop")
        data: dict[str, Any] = {}
        if isinstance(refusal, str) and refusal:
            data["refusal"] = True
            said = said or refusal
        if reason not in ("stop", *FINISHES):
            data["finish_reason"] = reason
        served = reply.get("model")
        if isinstance(served, str) and served and served != self.spec.weights:
            data["served"] = served
        if isinstance(reply.get("system_fingerprint"), str):
            data["fingerprint"] = reply["system_fingerprint"]
        usage = reply.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        read, written = (n if isinstance(n, int) and not isinstance(n, bool) and n >= 0 else 0 for n in counts)
        if not usage:
            data["uncounted"] = True
        thought = usage.get("completion_tokens_details")
        if isinstance(thought, dict) and thought.get("reasoning_tokens"):
            data["reasoning_tokens"] = thought["reasoning_tokens"]
        return Answer(said, read, written, FINISHES.get(reason, "stop"), data)


def key_of(spec: ModelSpec) -> str:
    """The key of a model's service, from the environment; empty where it needs none.

    Raises:
        UserError: the variable is not set, or what it holds can be no key. The message does not repeat it.
    """
    name = spec.service.key
    if not name:
        return ""
    key = os.environ.get(name, "").strip()
    if not key:
        raise UserError(f"model {spec.name}: {name} is not set where the cell runs; export it before you submit")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"model {spec.name}: what {name} holds is no key: it has spaces, or letters of no key")
    return key


def messages(conversation: Conversation, detail: str | None = None) -> list[dict[str, Any]]:
    """A conversation as the service takes it: the system's turn, the shots as turns, and the question."""
    said: list[dict[str, Any]] = []
    if conversation.system:
        said.append({"role": "system", "content": conversation.system})
    for turn in (*conversation.shots, conversation):
        said.append({"role": "user", "content": user_turn(turn, detail)})
        if turn is not conversation:
            said.append({"role": "assistant", "content": turn.answer or ""})
    return said


def user_turn(turn: Conversation, detail: str | None = None) -> str | list[dict[str, Any]]:
    """A turn of the user: its text, or its images and then its text."""
    if not turn.images:
        return turn.prompt
    more = {} if detail is None else {"detail": detail}
    pictures = [{"type": "image_url", "image_url": {"url": data_url(image), **more}} for image in turn.images]
    return [*pictures, {"type": "text", "text": turn.prompt}] if turn.prompt else pictures


def data_url(image: Any) -> str:
    """A picture's very pixels, as PNG in a URL."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def text_of(content: Any) -> str | None:
    """The text of a message's content, which some services give in parts; None where it is something else."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return None
    return "".join(str(part.get("text") or "") for part in content if part.get("type", "text") == "text")


def said_of_error(reply: Any, text: str) -> tuple[str, str]:
    """The code of an error and what it says, in one line."""
    error = reply.get("error", reply) if isinstance(reply, dict) else None
    codes = [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    known = next((c for c in codes if c in (*FILTERED, *USED_UP)), codes[0] if codes else "")
    if isinstance(error, dict):
        said = error.get("message") or error.get("detail") or json.dumps(error)
    else:
        said = error or text or "(nothing said)"
    return str(known or ""), " ".join(str(said).split())[:MOST_LETTERS]


FAMILY = OpenAICompatible
