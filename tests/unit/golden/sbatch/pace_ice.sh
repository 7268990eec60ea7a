#!/bin/bash

# Parameters
#SBATCH --array=0-2%3
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:A100:1
#SBATCH --job-name=paceline-s-0123abcd-0
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=64G
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=ROOT/submitit/%A_%a_0_log.out
#SBATCH --signal=USR2@180
#SBATCH --time=480

# setup
[ "$HF_HOME" ] || export HF_HOME=$HOME/scratch/.cache/huggingface
[ "$TORCH_HOME" ] || export TORCH_HOME=$HOME/scratch/.cache/torch
export PYTHONPATH=ROOT/code/c0de/src
export PYTHONDONTWRITEBYTECODE=1
export OMP_NUM_THREADS=1
export SRUN_CPUS_PER_TASK=8
export HF_HUB_DISABLE_PROGRESS_BARS=1

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output ROOT/submitit/%A_%a_%t_log.out PYTHON -u -m paceline.rank ROOT 0
