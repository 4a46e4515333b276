"""Protocols of other services: what their clients say and expect. What is committed is append-only there, too."""
