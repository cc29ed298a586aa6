"""The transport: HTTP/1.1 to providers, and the policy of what may be connected to."""
