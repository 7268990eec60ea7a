"""What an SDK for tracking may learn from its surroundings: how its service is reached and who asks, no more.

The SDKs read names, ids, groups and targets of runs from the shell too (``WANDB_RUN_ID``, ``TRACKIO_SPACE_ID``), and
W&B's from settings files in the home and the working folder. One such value, left from another experiment, would send
every cell of a sweep into one run. What identifies a run comes from the cell alone, so variables are removed that are
not named here, those of later versions of the SDKs included.
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from typing import Any

# Credentials and author, service and ways to it, folders, debugging. An entity is the default of cells that name none.
_WANDB = re.compile(
    r"WANDB_(API_KEY|IDENTITY_TOKEN_FILE|CREDENTIALS_FILE|USERNAME|USER_EMAIL|ENTITY"
    r"|BASE_URL|APP_URL|HTTPS?_PROXY|_PROXIES|_EXTRA_HTTP_HEADERS|INSECURE_DISABLE_SSL|HTTP_TIMEOUT|FILE_PUSHER_TIMEOUT"
    r"|_(GRAPHQL|FILE_STREAM|FILE_TRANSFER|STATS)_\w+|_SERVICE_WAIT|_SERVICE_TRANSPORT|ENABLE_DCGM_PROFILING"
    r"|DIR|CONFIG_DIR|DATA_DIR|CACHE_DIR|DEBUG|CORE_DEBUG|ERROR_REPORTING)"
)
# Of the SDK's settings, by their own names, those that its files may set.
_WANDB_FILES = re.compile(
    r"api_key|identity_token_file|credentials_file|username|email"
    r"|base_url|app_url_override|https?_proxy|x_proxies|x_extra_http_headers|insecure_disable_ssl"
    r"|x_(graphql|file_stream|file_transfer|stats)_\w+|x_service_\w+"
)
_TRACKIO = re.compile(r"TRACKIO_(DIR|STORAGE_MODE|SQLITE_\w+|WEBHOOK_\w+)")


def clear_wandb(environment: MutableMapping[str, str]) -> None:
    """Remove what W&B's SDK would take for the identity of a run."""
    _clear(environment, "WANDB_", _WANDB)


def clear_trackio(environment: MutableMapping[str, str]) -> None:
    """Remove what Trackio would take for the place of a run: a Space, a server, a bucket."""
    _clear(environment, "TRACKIO_", _TRACKIO)


def _clear(environment: MutableMapping[str, str], prefix: str, kept: re.Pattern[str]) -> None:
    for name in [name for name in environment if name.startswith(prefix) and not kept.fullmatch(name)]:
        del environment[name]


def load_wandb() -> tuple[Any, str]:
    """W&B's SDK, which knows no run yet.

    Returns:
        The module, and the entity that this person's surroundings name for runs that name none; empty where there is
        none, which is the account's own.
    """
    clear_wandb(os.environ)
    os.environ["WANDB_SILENT"] = "true"  # read at import
    import wandb

    settings = wandb.setup(wandb.Settings(silent=True, sagemaker_disable=True)).settings
    # As the SDK looked for them: in the working folder, before it read WANDB_DIR.
    from_files = wandb.Settings(settings_system=settings.settings_system).read_system_settings().all()
    for name in {"entity", *from_files} & set(wandb.Settings.model_fields):
        if not _WANDB_FILES.fullmatch(name):
            setattr(settings, name, wandb.Settings.model_fields[name].get_default(call_default_factory=True))
    return wandb, os.environ.get("WANDB_ENTITY") or from_files.get("entity", "")
