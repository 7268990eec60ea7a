"""The report as text: the terminal, LaTeX, and files for other programs."""
