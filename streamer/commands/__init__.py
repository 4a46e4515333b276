"""What `granite-stream` can be asked to do, a module for each; `streamer.command` finds the one."""
