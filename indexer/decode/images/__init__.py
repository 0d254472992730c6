"""Images, animations and their crops."""
