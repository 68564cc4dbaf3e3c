"""What is said about a Program or a saved model: its layers, costs and tables."""
