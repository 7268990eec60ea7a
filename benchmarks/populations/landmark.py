"""Landmarks with one to five photos each, of four choices: as multiple choice, a landmark in place of a picture."""

from __future__ import annotations

from populations.multiple_choice import METRICS, draw

__all__ = ["METRICS", "draw"]
