"""What people do: rules on tracked key points, in units of the body."""
