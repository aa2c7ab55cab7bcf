"""The window: what others may read. It shows what the ports give and changes nothing."""
