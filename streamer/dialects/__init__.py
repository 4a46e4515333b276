"""Protocols of other services: what their clients say and expect. What is committed is append-only there, too."""

# A segment that ends so near to where its client ended it was ended by that; a pause would have ended it earlier.
CUT_SECONDS = 0.1
