"""Transport: HTTP/1.1 to models' servers as bytes, directly or through proxies, within the egress policy."""
