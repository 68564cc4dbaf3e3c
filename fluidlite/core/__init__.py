"""What all parts of fluidlite speak of, and what knows none of them."""
