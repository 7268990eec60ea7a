"""Two sweeps beside each other: what is set otherwise, and what came of it."""
