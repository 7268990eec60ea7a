"""What may be set of a cell: the schema, its checks, settings that exclude each other, and the GPUs there are."""
