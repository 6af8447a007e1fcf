"""The commands: files, money, reading, verifying."""
