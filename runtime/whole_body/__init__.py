"""A second, closer look at people: hands and face of everybody, or a network for one person in a box."""
