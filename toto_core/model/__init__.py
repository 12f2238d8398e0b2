"""The Toto 2.0 network."""
