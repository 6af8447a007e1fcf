"""What is TRUE: the tables, how to reach them, and the settings. Imports nothing above itself."""
