"""A service that answers for a model: what it is asked, what becomes of its replies, and how often it is asked."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import Asked, Behaviour, ChatServer, Handler, answer
from PIL import Image

from paceline.config.schema import GenerationSpec, ModelSpec, ServiceSpec
from paceline.errors import DataError, ServiceUnavailable, UserError
from paceline.models.answerer import Answer, Answerer, Request, Service
from paceline.models.conversation import Conversation
from paceline.models.families.openai_compatible import OpenAICompatible
from paceline.models.service_calls import Pace, retry_after

KEY = "sk-test-0123456789abcdef"
SETTINGS = GenerationSpec(new_tokens=20)


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Behaviour], ChatServer]]:
    """Start a service that behaves as told."""
    servers: list[ChatServer] = []
    monkeypatch.setenv("TEST_KEY", KEY)

    def start(behave: Behaviour) -> ChatServer:
        servers.append(ChatServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def model(server: ChatServer, request: dict[str, Any] | None = None, **service: Any) -> OpenAICompatible:
    settings = ServiceSpec(**{"key": "TEST_KEY", "patience_minutes": 0.02, "tries": 3, **service})
    spec = ModelSpec(
        name="served",
        family="openai_compatible",
        weights="some-model",
        endpoint=server.url,
        request=request or {},
        service=settings,
    )
    made = OpenAICompatible.load(spec)
    made.calls.backoff, made.calls.grace = 0.01, 0.5
    return made


def ask(
    made: OpenAICompatible, *texts: str, settings: GenerationSpec = SETTINGS, proved: bool = False
) -> dict[str, Answer]:
    """Answers by question."""
    requests = [Request(i, lambda t=t: Conversation(t), settings, i) for i, t in enumerate(texts)]
    return {texts[n]: a for n, a in made.answers(requests, lambda: False, lambda line: None, proved)}


def echo(handler: Handler, number: int, asked: Asked) -> None:
    handler.say(f"you said {asked.text}")


def first(*behaviours: Behaviour, then: Behaviour = echo) -> Behaviour:
    """Behave so at the first requests."""
    return lambda handler, n, asked: (behaviours[n] if n < len(behaviours) else then)(handler, n, asked)


# -- what is asked


def test_it_is_an_answerer_that_answers_one_by_one() -> None:
    made = OpenAICompatible.load(ModelSpec(name="m", weights="w", endpoint="http://127.0.0.1:9/v1"))
    assert isinstance(made, Answerer) and isinstance(made, Service)
    assert made.how == "generates"


def test_it_imports_no_torch() -> None:
    script = (
        "import sys, paceline.models.families.openai_compatible, paceline.worker, paceline.inference.weights\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'wandb', 'openai'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pictures_arrive_pixel_for_pixel_before_the_text(serving: Callable[[Behaviour], ChatServer]) -> None:
    server = serving(echo)
    pictures = [Image.frombytes("RGB", size, random.Random(3).randbytes(3 * size[0] * size[1])) for size in SIZES]
    model(server).answer([Conversation("Which?", pictures, system="Be brief.")], SETTINGS, [0])
    system, user = server.asked[0].body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in user["content"]] == ["image_url", "image_url", "image_url", "text"]
    for part, picture in zip(user["content"], pictures, strict=False):
        head, _, content = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        shown = Image.open(io.BytesIO(base64.b64decode(content)))
        assert (shown.mode, shown.size, shown.tobytes()) == ("RGB", picture.size, picture.tobytes())


SIZES = [(1, 1), (7, 5), (200, 1)]


def test_a_question_without_pictures_is_plain_text_and_shots_are_turns(
    serving: Callable[[Behaviour], ChatServer],
) -> None:
    server = serving(echo)
    shots = [Conversation("2 + 2?", answer="4")]
    model(server).answer([Conversation("3 + 3?", shots=shots)], SETTINGS, [0])
    assert server.asked[0].body["messages"] == [
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "3 + 3?"},
    ]
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("settings", "service", "request_", "sent"),
    [
        ({}, {}, {}, {"max_tokens": 128, "temperature": 0.0}),
        ({}, {"limit_field": "max_completion_tokens"}, {}, {"max_completion_tokens": 128, "temperature": 0.0}),
        (
            {"temperature": 0.7, "top_p": 0.9},
            {},
            {},
            {"max_tokens": 128, "temperature": 0.7, "top_p": 0.9, "seed": 5},
        ),
        ({"temperature": 0.7}, {}, {"seed": None, "temperature": None}, {"max_tokens": 128}),
        (
            {"repetition_penalty": 1.2, "min_new_tokens": 3},
            {},
            {"repetition_penalty": "generation.repetition_penalty", "min_tokens": "generation.min_new_tokens"},
            {"max_tokens": 128, "temperature": 0.0, "repetition_penalty": 1.2, "min_tokens": 3},
        ),
        (
            {},
            {},
            {"reasoning_effort": "low", "chat_template_kwargs": {"a": 1}},
            {"max_tokens": 128, "temperature": 0.0, "reasoning_effort": "low", "chat_template_kwargs": {"a": 1}},
        ),
    ],
)
def test_settings_are_sent_in_the_words_of_the_service(
    serving: Callable[[Behaviour], ChatServer],
    settings: dict[str, Any],
    service: dict[str, Any],
    request_: dict[str, Any],
    sent: dict[str, Any],
) -> None:
    server = serving(echo)
    model(server, request_, **service).answer([Conversation("x")], GenerationSpec(**settings), [2**31 + 5])
    body = server.asked[0].body
    assert {k: v for k, v in body.items() if k not in ("model", "messages")} == sent
    assert body["model"] == "some-model"


def test_the_detail_of_pictures_is_said_with_each(serving: Callable[[Behaviour], ChatServer]) -> None:
    server = serving(echo)
    made = model(server, {"detail": "low"})
    made.answer([Conversation("x", [Image.new("RGB", (2, 2))])], SETTINGS, [0])
    assert server.asked[0].body["messages"][0]["content"][0]["image_url"]["detail"] == "low"
    assert "detail" not in server.asked[0].body


def test_a_setting_without_a_field_is_refused(serving: Callable[[Behaviour], ChatServer]) -> None:
    server = serving(echo)
    with pytest.raises(UserError, match=r"generation\.beams=4.*no field"):
        ask(model(server), "x", settings=GenerationSpec(beams=4))
    assert server.asked == []


# -- what is read


def test_an_answer_comes_with_its_tokens_its_date_and_who_gave_it(serving: Callable[[Behaviour], ChatServer]) -> None:
    server = serving(lambda handler, n, asked: handler.say(" Zurich \n", "length"))
    got = ask(model(server), "x")["x"]
    assert (got.text, got.prompt_tokens, got.new_tokens, got.finish) == (" Zurich \n", 11, 3, "length")
    assert got.data["served"] == "served-model-2" and got.data["fingerprint"] == "fp_1"
    time.strptime(got.data["asked"], "%Y-%m-%dT%H:%M:%SZ")


def refusing(handler: Handler, number: int, asked: Asked) -> None:
    handler.say(None, refusal="I can't help with that.")


def filtering(handler: Handler, number: int, asked: Asked) -> None:
    handler.say("The man is", "content_filter")


def filtering_the_question(handler: Handler, number: int, asked: Asked) -> None:
    handler.fail(400, "filtered by policy", "content_filter")


@pytest.mark.parametrize(
    ("behave", "finish", "text", "data"),
    [
        (refusing, "stop", "I can't help with that.", {"refusal": True}),
        (filtering, "content_filter", "The man is", {}),
        (filtering_the_question, "content_filter", "", {"reason": "HTTP 400: filtered by policy"}),
        (lambda h, n, a: h.say(None), "stop", "", {}),
        (lambda h, n, a: h.say(None, "tool_calls", tool_calls=[]), "stop", "", {"finish_reason": "tool_calls"}),
        (lambda h, n, a: h.say([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "stop", "ab", {}),
    ],
)
def test_refusals_and_filters_are_answers_of_their_own(
    serving: Callable[[Behaviour], ChatServer], behave: Behaviour, finish: str, text: str, data: dict[str, Any]
) -> None:
    server = serving(behave)
    got = ask(model(server), "x")["x"]
    assert (got.finish, got.text) == (finish, text)
    assert {**got.data, **data} == got.data
    assert len(server.asked) == 1


def without_usage(handler: Handler, number: int, asked: Asked) -> None:
    body = answer("a")
    del body["usage"]
    handler.reply(200, json.dumps(body).encode())


def test_tokens_that_a_service_does_not_count_are_marked_so(serving: Callable[[Behaviour], ChatServer]) -> None:
    got = ask(model(serving(without_usage)), "x")["x"]
    assert (got.prompt_tokens, got.new_tokens, got.data["uncounted"]) == (0, 0, True)


# -- what may pass


def cut(handler: Handler, number: int, asked: Asked) -> None:
    """Half an answer, and the connection is closed."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"message"')
    handler.close_connection = True


def reset(handler: Handler, number: int, asked: Asked) -> None:
    """The connection is reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    raise ConnectionResetError


def huge(handler: Handler, number: int, asked: Asked) -> None:
    handler.reply(200, b'{"choices": "' + b"x" * (17 << 20) + b'"}')


def silent(handler: Handler, number: int, asked: Asked) -> None:
    handler.server.hang()


def dripping(handler: Handler, number: int, asked: Asked) -> None:
    """A byte now and then, so that no read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


PASSING: dict[str, Behaviour] = {
    "429 without Retry-After": lambda h, n, a: h.fail(429),
    "429 with Retry-After": lambda h, n, a: h.fail(429, Retry_After="0"),
    "429 with what is no time": lambda h, n, a: h.fail(429, Retry_After="soon"),
    "500": lambda h, n, a: h.fail(500),
    "503 of a proxy": lambda h, n, a: h.reply(503, b"<html>busy</html>", "text/html"),
    "half an answer": cut,
    "reset": reset,
    "no JSON": lambda h, n, a: h.reply(200, b'{"choices": [', "application/json"),
    "a page": lambda h, n, a: h.reply(200, b"<html>Sign in</html>", "text/html"),
    "a list": lambda h, n, a: h.reply(200, b"[1, 2]"),
    "null": lambda h, n, a: h.reply(200, b"null"),
    "no choices": lambda h, n, a: h.reply(200, b'{"choices": []}'),
    "choices of another kind": lambda h, n, a: h.reply(200, b'{"choices": {"0": 1}}'),
    "no message": lambda h, n, a: h.reply(200, b'{"choices": [{"text": "x"}]}'),
    "content of another kind": lambda h, n, a: h.say(3),  # type: ignore[arg-type]
    "an error under 200": lambda h, n, a: h.reply(200, b'{"error": {"message": "overloaded"}}'),
    "nothing": lambda h, n, a: h.reply(200, b""),
    "no letters": lambda h, n, a: h.reply(200, b"\xff\xfe\x00"),
    "huge": huge,
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_asked_again(serving: Callable[[Behaviour], ChatServer], name: str) -> None:
    server = serving(first(PASSING[name], PASSING[name]))
    got = ask(model(server), "x")["x"]
    assert (got.text, got.finish, got.data["tries"]) == ("you said x", "stop", 3)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("behave", "service"), [(silent, {"read_seconds": 0.2}), (dripping, {"whole_seconds": 0.3})], ids=["silent", "drip"]
)
def test_a_request_that_hangs_is_given_up_and_asked_again(
    serving: Callable[[Behaviour], ChatServer], behave: Behaviour, service: dict[str, Any]
) -> None:
    server = serving(first(behave))
    assert ask(model(server, **service), "x")["x"].text == "you said x"
    assert len(server.asked) == 2


def test_a_service_that_answers_nothing_for_too_long_ends_the_attempt(
    serving: Callable[[Behaviour], ChatServer],
) -> None:
    server = serving(lambda handler, n, asked: handler.fail(500, "still starting"))
    with pytest.raises(ServiceUnavailable, match="still starting"):
        ask(model(server), "x", proved=True)


def test_a_service_that_is_not_there_ends_the_attempt(serving: Callable[[Behaviour], ChatServer]) -> None:
    server = serving(echo)
    server.close()
    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        ask(model(server), "x")


def test_a_wait_longer_than_the_patience_ends_the_attempt_at_once(serving: Callable[[Behaviour], ChatServer]) -> None:
    server = serving(lambda handler, n, asked: handler.fail(429, "come back tomorrow", Retry_After="86400"))
    with pytest.raises(ServiceUnavailable, match="come back tomorrow"):
        ask(model(server, patience_minutes=15), "x")
    assert len(server.asked) == 1


def test_an_account_that_is_used_up_ends_the_attempt_at_once(serving: Callable[[Behaviour], ChatServer]) -> None:
    server = serving(lambda handler, n, asked: handler.fail(429, "check your plan", "insufficient_quota"))
    with pytest.raises(ServiceUnavailable, match="used up"):
        ask(model(server, patience_minutes=15), "x")
    assert len(server.asked) == 1


# -- what stays


def by_text(**behaviours: Behaviour) -> Behaviour:
    return lambda handler, n, asked: behaviours.get(asked.text, echo)(handler, n, asked)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_refused_is_an_answer_with_its_reason(
    serving: Callable[[Behaviour], ChatServer], status: int
) -> None:
    server = serving(by_text(bad=lambda h, n, a: h.fail(status, "image too large")))
    got = ask(model(server), "a", "bad", "b")
    assert (got["bad"].finish, got["bad"].data["reason"]) == ("error", f"HTTP {status}: image too large")
    assert got["a"].text == "you said a" and got["b"].text == "you said b"
    assert len(server.asked) == 3


def test_a_request_that_always_fails_while_others_are_answered_is_an_error_after_some_tries(
    serving: Callable[[Behaviour], ChatServer],
) -> None:
    server = serving(by_text(bad=lambda h, n, a: h.fail(500, "crashed on this picture")))
    got = ask(model(server, concurrency=1, patience_minutes=5), "bad", *"abcdefgh")
    assert (got["bad"].finish, got["bad"].data["tries"]) == ("error", 3)
    assert sum(a.text == "bad" for a in server.asked) == 3
    assert all(got[t].text == f"you said {t}" for t in "abcdefgh")


def test_the_last_request_that_always_fails_is_an_error_where_a_plain_one_is_answered(
    serving: Callable[[Behaviour], ChatServer],
) -> None:
    server = serving(by_text(bad=lambda h, n, a: h.fail(500, "crashed")))
    got = ask(model(server, patience_minutes=5), "bad", proved=True)
    assert got["bad"].finish == "error"
    assert [a.text for a in server.asked] == ["bad", "bad", "bad", "Say yes."]


def test_where_every_request_is_refused_nothing_is_kept_and_the_reason_is_told(
    serving: Callable[[Behaviour], ChatServer],
) -> None:
    server = serving(lambda h, n, a: h.fail(400, "this model takes no temperature"))
    with pytest.raises(UserError, match="takes no temperature"):
        ask(model(server), *"abcdefghijklmnop")
    with pytest.raises(UserError, match="takes no temperature"):
        ask(model(server), "a")


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "the key in TEST_KEY"), (403, "the key in TEST_KEY"), (404, "some-model"), (307, "place")],
)
def test_what_holds_for_every_request_ends_the_attempt_at_once(
    serving: Callable[[Behaviour], ChatServer], status: int, told: str
) -> None:
    server = serving(lambda h, n, a: h.fail(status, "no", Location="http://127.0.0.1:1/"))
    with pytest.raises(UserError, match=told):
        ask(model(server, concurrency=1), *"abc")
    assert len(server.asked) == 1


def test_a_picture_that_is_gone_ends_the_attempt_and_what_was_under_way_is_kept(
    serving: Callable[[Behaviour], ChatServer],
) -> None:
    def gone() -> Conversation:
        raise DataError("a.jpg is missing")

    server = serving(echo)
    requests = [Request(0, lambda: Conversation("x"), SETTINGS, 0), Request(1, gone, SETTINGS, 1)]
    kept = []
    with pytest.raises(DataError, match=r"a\.jpg"):
        kept += [n for n, _ in model(server).answers(requests, lambda: False, lambda line: None)]


# -- secrets


def test_a_key_that_is_repeated_in_an_error_is_told_to_nobody(serving: Callable[[Behaviour], ChatServer]) -> None:
    lines: list[str] = []
    server = serving(
        first(
            lambda h, n, a: h.fail(500, f"bad header Authorization: {a.headers['authorization']}"),
            then=lambda h, n, a: h.fail(401, f"Incorrect API key provided: {KEY}"),
        )
    )
    with pytest.raises(UserError) as caught:
        list(model(server).answers([Request(0, lambda: Conversation("x"), SETTINGS, 0)], lambda: False, lines.append))
    assert KEY not in str(caught.value) and "[key]" in str(caught.value)
    assert any("bad header" in line for line in lines)
    assert KEY not in "".join(lines)


@pytest.mark.parametrize("held", ["", "   ", "sk-abc\nX: y", "sk abc", "clé"])
def test_what_is_no_key_is_refused_without_repeating_it(monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    monkeypatch.setenv("TEST_KEY", held)
    with pytest.raises(UserError, match="TEST_KEY") as caught:
        OpenAICompatible.load(
            ModelSpec(name="m", weights="w", endpoint="http://127.0.0.1:9", service=ServiceSpec(key="TEST_KEY"))
        )
    assert not held.strip() or held.split(maxsplit=1)[0] not in str(caught.value)


# -- limits


def test_no_more_requests_are_under_way_than_allowed(serving: Callable[[Behaviour], ChatServer]) -> None:
    together = threading.Barrier(3)

    def meeting(handler: Handler, number: int, asked: Asked) -> None:
        together.wait(30)  # three at a time, or none
        handler.say("x")

    server = serving(meeting)
    assert len(ask(model(server, concurrency=3), *(f"q{i}" for i in range(12)))) == 12
    assert server.most == 3


def test_a_rate_is_kept_by_a_clock() -> None:
    now = [100.0]
    pace = Pace(30, lambda: now[0])
    assert [pace.turn() for _ in range(4)] == [0, 2, 4, 6]
    now[0] += 1
    assert pace.turn() == 7
    now[0] += 60
    assert pace.turn() == 0
    assert Pace(0, lambda: now[0]).turn() == 0


def test_requests_begin_at_the_rate(serving: Callable[[Behaviour], ChatServer]) -> None:
    """By a clock that only the waits move."""
    now, begun = [0.0], []
    server = serving(echo)
    made = model(server, requests_per_minute=60, concurrency=1)

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    made.calls.clock, made.calls.sleep = lambda: now[0], sleep
    made.calls.pace = Pace(60, made.calls.clock)
    post = made.calls.post

    async def posted(body: dict[str, Any]) -> Answer:
        begun.append(now[0])
        return await post(body)  # type: ignore[no-any-return]

    made.calls.post = posted
    ask(made, *"abcde")
    assert begun == [0, 1, 2, 3, 4]
    assert len(server.asked) == 5


def test_a_pause_that_a_service_asks_for_holds_for_all_requests() -> None:
    now = [0.0]
    pace = Pace(0, lambda: now[0])
    pace.pause(10)
    assert pace.paused() == 10
    pace.pause(3)  # a shorter one ends no longer one
    now[0] = 4
    assert pace.paused() == 6


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "whenever"}, None),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, 100.0) == seconds


# -- the end


def test_a_stop_ends_requests_that_hang_and_keeps_what_came(serving: Callable[[Behaviour], ChatServer]) -> None:
    hanging = threading.Event()

    def behave(handler: Handler, number: int, asked: Asked) -> None:
        if asked.text == "a":
            handler.say("first")
            return
        hanging.set()
        handler.server.hang()

    server = serving(behave)
    made = model(server, concurrency=2)
    requests = [Request(i, lambda t=t: Conversation(t), SETTINGS, i) for i, t in enumerate("abcdef")]
    got = list(made.answers(requests, hanging.is_set, lambda line: None))
    assert [(n, a.text) for n, a in got] == [(0, "first")]
    assert not server.over.is_set()  # the service still holds them
    assert len(server.asked) <= 3


def test_what_comes_in_the_seconds_after_a_stop_is_kept(serving: Callable[[Behaviour], ChatServer]) -> None:
    stopped = threading.Event()

    def behave(handler: Handler, number: int, asked: Asked) -> None:
        stopped.set()
        time.sleep(0.3)
        handler.say("late")

    server = serving(behave)
    made = model(server, concurrency=1)
    made.calls.grace = 20.0
    requests = [Request(i, lambda t=t: Conversation(t), SETTINGS, i) for i, t in enumerate("abc")]
    assert [a.text for _, a in made.answers(requests, stopped.is_set, lambda line: None)] == ["late"]
    assert len(server.asked) == 1


def test_an_answer_that_nobody_takes_leaves_no_request_behind(serving: Callable[[Behaviour], ChatServer]) -> None:
    server = serving(echo)
    answers = model(server, concurrency=1).answers(
        (Request(i, lambda: Conversation("x"), SETTINGS, i) for i in range(1000)), lambda: False, lambda line: None
    )
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert len(server.asked) < 1000
    assert not [t for t in threading.enumerate() if t.name == "requests" and t.is_alive()]


def test_the_proxy_of_the_environment_is_not_asked_for_this_machine(
    serving: Callable[[Behaviour], ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert ask(model(serving(echo)), "x")["x"].text == "you said x"


def test_the_price_is_told_at_the_end(serving: Callable[[Behaviour], ChatServer]) -> None:
    lines: list[str] = []
    made = model(serving(echo), read_usd=2.5, written_usd=10)
    list(made.answers([Request(0, lambda: Conversation("x"), SETTINGS, 0)], lambda: False, lines.append))
    assert lines[-1] == (
        "1 request, 0 of them failed; 1 answer: 11 tokens read, 3 written, $0.0001 at the prices of the model's file"
    )


def test_a_model_of_a_service_is_not_tuned(serving: Callable[[Behaviour], ChatServer]) -> None:
    spec = replace(model(serving(echo)).spec)
    for wrong in ({"training": True}, {"tuned": Path(os.sep)}, {"quantise": "nf4"}):
        with pytest.raises(UserError, match="service"):
            OpenAICompatible.load(spec, **wrong)  # type: ignore[arg-type]
