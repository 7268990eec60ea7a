"""Slurm as its clients answer: what is queued, what became of it, and what the cluster allows."""
