"""What the plain commands do: one function each; its signature and docstring are the command's options and help."""
