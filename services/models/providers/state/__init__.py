"""Opaque state of an answer, which goes back to the server that made it, byte for byte."""
