"""The program's speed, measured beside the floors of what it is made of. `python -m benchmarks --help`."""
