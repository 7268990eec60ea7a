"""What a report reads from the files of a sweep: results, answers, attempts, provenance."""
