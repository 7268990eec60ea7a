"""From raw answers to scores and metrics, and the digest of the code that made them."""
