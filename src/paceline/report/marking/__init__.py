"""Marks that people give answers: sheets that go out and come back, what is kept of them, and how far people agree."""
