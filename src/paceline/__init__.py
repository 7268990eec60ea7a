"""paceline: sweeps of vision-language models on a Slurm cluster, composed, launched, resumed and compared."""

__version__ = "0.1.0"
