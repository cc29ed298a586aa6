"""The OIDC issuers whose tokens stand for callers: what is expected of a token, the issuers' keys, and the check."""
