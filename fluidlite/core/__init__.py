"""What every part speaks of: Specs, data types, attributes, definitions of operators, fusions, errors."""
