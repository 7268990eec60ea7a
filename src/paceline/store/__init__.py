"""The files under a root: cells, attempts, sweeps, frozen code, and who holds what."""
