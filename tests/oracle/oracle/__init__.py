"""A second implementation of Tributary's books, sharing no code with the first."""
