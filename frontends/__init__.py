"""Readers of foreign networks: each turns one framework's object or file into a float network."""
