"""The model families, one module or package each, with a class named ``FAMILY``."""
