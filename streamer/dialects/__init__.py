"""Protocols of other services on the same port. What is committed is append-only in them, as it is here."""
