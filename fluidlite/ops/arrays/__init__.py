"""Algorithms on arrays that families of operators share."""
