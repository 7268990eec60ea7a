"""A script of a user's own in the environment that `make setup` makes, as the README says."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import paceline.models.torchvision
from transformers import AutoImageProcessor, AutoProcessor, AutoVideoProcessor, Trainer, pipeline
import torchvision.transforms.v2
print(AutoProcessor.__name__)
"""


def test_a_script_that_begins_as_the_readme_says_imports_what_transformers_offers() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "AutoProcessor\n"), done.stderr
