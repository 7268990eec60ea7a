"""What may be said of a model that a service answers for, refused where it can't hold, before anything is asked.

No message repeats a value that may be a secret.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from paceline.config.schema import Config, GenerationSpec, ModelSpec
from paceline.errors import UserError, nearest
from paceline.models.registry import says

SETTING = "generation."
"""Before the name of a setting, where a field of ``model.request`` takes its value."""

UNKNOWN = {"beams": 1, "min_new_tokens": 0, "repetition_penalty": 1.0}
"""Settings that chat completions have no field for, with the value that asks for nothing."""
OURS = ("model", "messages", "n", "stream", "max_tokens", "max_completion_tokens")
"""Fields of a request that are ours alone: what is asked, of whom, and how the answer comes."""
SET = ("temperature", "top_p", "seed")
"""Fields that a setting decides; ``model.request`` may leave them out."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"auth|api.?key|secret|password|credential", re.IGNORECASE)


def check(config: Config) -> None:
    """Refuse settings of a model and of its answers that a service can't take.

    Raises:
        UserError: the first found, with the key to change.
    """
    model, name = config.model, f"conf/model/{config.model.name}.yaml"
    answers = says(model.family, "served", False)
    if answers and not model.served:
        raise UserError(f"{name}: family '{model.family}' asks a service: write its base URL into endpoint:")
    if not model.served:
        if model.request:
            raise UserError(f"{name}: request: is for a model that a service answers for; it has no endpoint:")
        return
    if not answers:
        raise UserError(f"{name}: endpoint: family '{model.family}' loads weights; give family: openai_compatible")
    if not model.weights:
        raise UserError(f"{name}: weights: is empty; write the name by which the service knows the model")
    if model.service.key and not _VARIABLE.fullmatch(model.service.key):
        raise UserError(
            f"{name}: service.key takes the name of an environment variable, such as OPENAI_API_KEY, and what stands "
            "there is none; if it is a key, take it out and revoke it: files of this kind are copied and shared"
        )
    _check_request(model, name)
    if "$" not in os.path.expandvars(model.endpoint):
        endpoint_url(model)
    if problem := next(unsaid(model, config.generation), ""):
        raise UserError(problem)


def _check_request(model: ModelSpec, name: str) -> None:
    settings = {f.name for f in dataclasses.fields(GenerationSpec) if f.name not in ("name", "engine", "batch")}
    for key, value in model.request.items():
        if key in OURS:
            raise UserError(f"{name}: request.{key} is set by paceline; generation.new_tokens limits an answer")
        if _SECRET.search(key):
            raise UserError(f"{name}: request.{key} looks like a key; name its environment variable in service.key")
        if key in SET and value is not None:
            raise UserError(f"{name}: request.{key}: give generation.{key}, or null here to leave the field out")
        if isinstance(value, str) and value.startswith(SETTING) and value.removeprefix(SETTING) not in settings:
            raise UserError(f"{name}: request.{key}: {value}: {nearest(value.removeprefix(SETTING), settings)}")


def endpoint_url(model: ModelSpec) -> str:
    """The base URL of a model's service, variables expanded, without a slash at its end.

    Raises:
        UserError: a variable is not set, or it is no base URL of http.
    """
    name = f"conf/model/{model.name}.yaml: endpoint"
    expanded = os.path.expandvars(model.endpoint).strip()
    if unset := re.search(r"\$\{?(\w+)\}?", expanded):
        raise UserError(
            f"{name}: {unset[1]} is not set here; export it: {unset[1]}=http://HOST:PORT/v1, where the service listens"
        )
    try:
        parts = urlsplit(expanded)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise UserError(f"{name} is no base URL; write one such as https://api.openai.com/v1") from None
    # What follows may hold a secret, so it is not repeated.
    if parts.username or parts.password or parts.query or parts.fragment or "@" in parts.netloc:
        raise UserError(
            f"{name} holds a user, a password or parameters; write the base URL alone, and name the environment "
            "variable of the key in service.key"
        )
    if not sound:
        raise UserError(f"{name} is no base URL; write one such as https://api.openai.com/v1")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise UserError(f"{name}: leave out /chat/completions, which paceline adds")
    return expanded.rstrip("/")


def unsaid(model: ModelSpec, settings: GenerationSpec) -> Iterator[str]:
    """Settings that change an answer and that no field of a request to the service says."""
    if settings.answer != "generate":
        yield (
            f"generation.answer={settings.answer}: chat completions tell no probabilities of given answers; give "
            "generation.answer=generate"
        )
    said = {value for value in model.request.values() if isinstance(value, str)}
    for key, nothing in UNKNOWN.items():
        if getattr(settings, key) != nothing and SETTING + key not in said:
            yield (
                f"generation.{key}={getattr(settings, key)}: chat completions have no field for it; leave it at "
                f"{nothing}, or, where the service of {model.name} takes it as one of its own, say which: "
                f"model.request.{FIELDS.get(key, key)}={SETTING}{key}"
            )


FIELDS = {"min_new_tokens": "min_tokens"}
"""What vLLM and SGLang call a setting, where it is another name than ours."""


def lacks(model: ModelSpec) -> list[str]:
    """What the environment lacks that a cell of a model would need; empty where nothing is known to be missing."""
    if not model.served:
        return []
    lines = []
    try:
        endpoint_url(model)
    except UserError as error:
        lines.append(str(error))
    if model.service.key and not os.environ.get(model.service.key):
        lines.append(
            f"model {model.name}: {model.service.key} is not set here, so its cells would have no key; export it "
            "(Slurm hands it to the jobs; paceline writes it nowhere)"
        )
    return lines


def request_fields(model: ModelSpec, settings: GenerationSpec) -> dict[str, Any]:
    """The fields of a request that a model's file adds, with the settings that they name; None leaves a field out."""
    return {
        key: getattr(settings, value.removeprefix(SETTING))
        if isinstance(value, str) and value.startswith(SETTING)
        else value
        for key, value in model.request.items()
    }
