"""A sample holds what one of captioning does."""

from paceline.tasks.captioning.fields import ASKS, AUGMENTED_BY, FIELDS, GROUP, SHOWN, augmented, complete, fields

__all__ = ["ASKS", "AUGMENTED_BY", "FIELDS", "GROUP", "SHOWN", "augmented", "complete", "fields"]
