"""What margin does by itself: import the catalog at start, and give waiting cost events to their customers."""
