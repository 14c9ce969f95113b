"""What is remembered of REST calls: answers kept for those who repeat a request."""
