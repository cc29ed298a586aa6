"""The health of models: probes without cost, and the newest result of each."""
