"""What must hold after a simulation. A check tells what it found in words that name the subscription or invoice."""
