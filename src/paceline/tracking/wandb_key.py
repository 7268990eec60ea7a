"""Which API key W&B's SDK would use, and which settings it must not upload; determined without loading the SDK.

Only the existence of keys is checked; they are not read.
"""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# The SDK's settings by which a run uploads nothing of the machine, the person or the code; start.json records it.
WANDB_DISCREET: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "x_disable_meta": True,  # host, user, command line
    "x_save_requirements": False,
}


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
