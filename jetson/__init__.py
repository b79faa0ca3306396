"""What is true only on a Jetson: the board, its power, its cameras and neighbours."""
