"""Access: API keys with their teams, projects and users, and the check of who calls."""
