"""The blocking half of the SDK, generated from `_async` by `tools/unasync.py`: change that one and run `make sdk`."""
