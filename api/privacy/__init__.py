"""Personal data over HTTP: sealed on its way in, opened for those who may see it."""
