"""What all concepts of rating are built on."""
