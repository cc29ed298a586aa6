"""An answer as it is read: its blocks, counts and end, out of whole bodies and streams."""
