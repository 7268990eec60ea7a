"""Finetune cells: adapters, batches, the training loop, and what is checked on the way."""
