"""The demo's parts: what is sold, who uses it, how it is sent, and what it must come to."""
