"""What INT8 must know of a head: what to treat with care, how far apart two outputs' people are; and exact outputs for tests."""
