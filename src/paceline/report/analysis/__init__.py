"""What a sweep's results say: differences, ensembles, calibration, cost, failures. Nothing here draws."""
