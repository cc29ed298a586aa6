"""What every process needs: settings, errors, the RPC boundary, the server's life, storage. Nothing of any service."""
