"""From needed cells to running processes: elements, arrays, submissions."""
