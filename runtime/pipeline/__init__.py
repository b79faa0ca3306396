"""A frame's way as threads with mailboxes between them."""
