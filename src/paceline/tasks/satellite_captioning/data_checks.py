"""What prepared captions hide, as of captioning."""

from paceline.tasks.captioning.data_checks import data_checks, data_lines, data_notes

__all__ = ["data_checks", "data_lines", "data_notes"]
