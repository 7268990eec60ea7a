"""From YAML and overrides to cells, and back from their files to states, labels and a forecast."""
