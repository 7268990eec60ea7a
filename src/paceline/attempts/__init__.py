"""One try at a cell: how it begins, beats and ends, its checkpoints, and the ranks that run it together."""
