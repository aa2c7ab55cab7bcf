"""What the node talks about: plain frozen types and the ports, no machinery."""
