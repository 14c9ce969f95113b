"""What must hold after a simulation. A check describes what it found and names the subscription or invoice."""
