"""Where people go: JSON, pictures, video."""
