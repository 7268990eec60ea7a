# shellcheck shell=bash
# Sourced by every batch script before its first srun: `. slurm/prologue.sh`. It sets only what is not set yet, so
# what a user exports, or a cluster profile, wins; and it never fails a job by itself.
#
# On PACE, activate the environment here or before sbatch (--export=ALL carries it along):
#   module load anaconda3 && conda activate paceline
# Compute nodes need no CUDA module: torch brings its own.

# Caches belong on scratch: PACE's home folders are small. Scratch is purged by age, so nothing precious goes there.
# One folder for all jobs of a user: weights are downloaded once.
if [ -d "$HOME/scratch" ]; then
    : "${XDG_CACHE_HOME:=$HOME/scratch/.cache}"
    export XDG_CACHE_HOME
    export HF_HOME="${HF_HOME:-$XDG_CACHE_HOME/huggingface}"
    export TORCH_HOME="${TORCH_HOME:-$XDG_CACHE_HOME/torch}"
fi
# Compiled kernels are per GPU type and written by many ranks at once: node-local, gone with the job.
export TRITON_CACHE_DIR="${TRITON_CACHE_DIR:-${TMPDIR:-/tmp}/triton-${SLURM_JOB_ID:-$$}}"

# One rank's share of the node, not all of its cores for each rank.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}"
# srun no longer takes --cpus-per-task from sbatch since Slurm 22.05.
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
    export SRUN_CPUS_PER_TASK="${SRUN_CPUS_PER_TASK:-$SLURM_CPUS_PER_TASK}"
fi
# Logs show what was printed before a kill.
export PYTHONUNBUFFERED=1
# Progress bars of downloads make logs unreadable.
export HF_HUB_DISABLE_PROGRESS_BARS="${HF_HUB_DISABLE_PROGRESS_BARS:-1}"
