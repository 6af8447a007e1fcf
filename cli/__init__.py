"""Who asks at the command line: `trident`, and the stack that it starts and stops."""
