"""What starts and stops processes, tested with real processes on the loopback interface."""
