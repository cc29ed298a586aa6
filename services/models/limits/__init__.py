"""Limits: decide over all replicas, before a model is asked, whether a call may go on."""
