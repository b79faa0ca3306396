"""What travels: the manifest, the skeleton, the model folder, the sidecar of an engine, the network that ships."""
