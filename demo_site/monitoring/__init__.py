"""What people and machines are shown of the site's state."""
