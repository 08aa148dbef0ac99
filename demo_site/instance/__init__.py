"""What the processes of one running instance share."""
