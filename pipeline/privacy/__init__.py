"""Personal data: sealed under a key of whoever it is about, so that losing the key erases it."""
