"""Studies that the node brings with it: published pixels under headers that are made up."""
