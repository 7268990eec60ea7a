"""The report as one HTML page: its sections, the case browser, and the pictures in it."""
