"""First and second derivatives of a model along directions, without its parameters' help."""
