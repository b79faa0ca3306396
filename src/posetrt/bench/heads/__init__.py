"""What `bench-heads` decodes: outputs of known people as networks give them, and plain decoders to compare with."""
