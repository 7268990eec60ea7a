"""A shell, and settings files, left over from another experiment: every value would send a run elsewhere."""

from __future__ import annotations

from pathlib import Path

import wandb

# The SDK's own names of those that are not spelt as the setting is.
SPELT = {
    "WANDB_DIR": "root_dir",
    "WANDB_NAME": "run_name",
    "WANDB_NOTES": "run_notes",
    "WANDB_TAGS": "run_tags",
    "WANDB_JOB_TYPE": "run_job_type",
}
VALID = {
    "WANDB_RUN_ID": "shared",
    "WANDB_PROJECT": "elsewhere",
    "WANDB_NAME": "same-name",
    "WANDB_RESUME": "must",
    "WANDB_RESUME_FROM": "shared?_step=3",
    "WANDB_FORK_FROM": "shared?_step=3",
    "WANDB_SWEEP_ID": "sweep1",
    "WANDB_SWEEP_PARAM_PATH": "/nowhere/sweep.yaml",
    "WANDB_CONFIG_PATHS": "/nowhere/config.yaml",
    "WANDB_RUN_GROUP": "other-group",
    "WANDB_JOB_TYPE": "other-type",
    "WANDB_TAGS": "other,tags",
    "WANDB_NOTES": "other notes",
    "WANDB_MODE": "disabled",
    "WANDB_LAUNCH": "true",
    "WANDB_CONFIG": '{"seed": 99}',
    "WANDB_ARTIFACTS": "{}",
    "WANDB_SERVICE": "3-1-unix-/nowhere/socket",
    "WANDB__LABEL": "node",
    "WANDB__SYNC_DIR_SUFFIX": "other",
    "SM_TRAINING_ENV": '{"job_name": "shared"}',
    "TRAINING_JOB_NAME": "shared",
}
FILE = "[default]\nrun_id = shared\nproject = elsewhere\nrun_group = other-group\nmode = disabled\nsweep_id = sweep1\n"


def setting(variable: str) -> str:
    """The SDK's setting that a variable is for."""
    plain = variable.removeprefix("WANDB_").lower()
    return SPELT.get(variable, f"x{plain}" if plain.startswith("_") else plain)


def variables() -> dict[str, str]:
    """All that W&B's SDK of this version turns into a setting, but for credentials, the service and the entity."""
    reach = {"api_key", "identity_token_file", "credentials_file", "base_url", "app_url_override", "entity"}
    reach |= {"http_proxy", "https_proxy", "insecure_disable_ssl", "username", "email"}
    named = {f"WANDB_{name.upper()}" for name in wandb.Settings.model_fields if not name.startswith("x_")} | set(SPELT)
    return {**{name: "elsewhere" for name in named if setting(name) not in reach}, **VALID}


def settings_files(working_folder: Path, home: Path) -> None:
    """The SDK's settings files, as `wandb init` and `wandb offline` leave them."""
    for folder in (working_folder / "wandb", home / ".config" / "wandb"):
        folder.mkdir(parents=True)
        (folder / "settings").write_text(FILE)
