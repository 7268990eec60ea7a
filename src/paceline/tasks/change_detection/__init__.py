"""Change detection: what differs between two pictures of one place? Answered by a count for each class of change."""
