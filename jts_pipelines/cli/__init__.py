"""The jts command: parses arguments, calls the libraries, prints."""
