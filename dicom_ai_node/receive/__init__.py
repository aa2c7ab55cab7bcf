"""The front door: who may enter and with what."""
