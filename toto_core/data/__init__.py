"""Series data: reading, validating, splitting and packing it."""
