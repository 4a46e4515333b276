"""What people look at: captions on a terminal, subtitles in a file. Nothing here loads torch."""
