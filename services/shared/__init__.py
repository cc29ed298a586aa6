"""Shared modules of all processes: settings, errors, the RPC boundary, the server, storage. They know no service."""
