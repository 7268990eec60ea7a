"""What an answer says of a class that it names."""

CLAIMED = "claimed"
DENIED = "denied"
DOUBTED = "doubted"
PASSED = "passed over"
"""Named without a word on whether it is there, as in a question or a list of the choices."""
