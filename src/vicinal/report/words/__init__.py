"""What is said about a comparison, in words."""
