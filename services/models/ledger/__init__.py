"""The ledger: the usage and cost of each call, recorded in a file before its answer ends, then in a database."""
