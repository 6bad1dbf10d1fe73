"""The command line: a light front that answers help and mistakes at once and imports the rest on demand."""
