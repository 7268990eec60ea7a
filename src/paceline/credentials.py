"""Whether keys are there, without looking at them: both sides ask, and the login side must not load an SDK for it."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit


def wandb_host(base_url: str = "") -> str:
    """The host of the W&B service that the SDK would speak to."""
    return urlsplit(base_url or os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""


def wandb_key(base_url: str = "") -> bool:
    """Whether W&B's SDK would find a key for its service without asking a person."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
        return netrc.netrc(path).authenticators(wandb_host(base_url)) is not None
    except (OSError, RuntimeError, netrc.NetrcParseError):  # no such file or home, or not to be read
        return False
