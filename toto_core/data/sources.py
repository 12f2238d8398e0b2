"""Series from files."""
