"""How results look in notebooks."""
