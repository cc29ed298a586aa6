"""The asynchronous half of the SDK, written by hand; `tools/unasync.py` generates `_sync` from it."""
