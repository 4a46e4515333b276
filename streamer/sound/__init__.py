"""Sound on its way in: recordings, microphones, bytes of clients; all become 16 kHz mono samples."""
