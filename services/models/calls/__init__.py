"""Calls: the answers of chats that have a request_id, which are kept for a day."""
