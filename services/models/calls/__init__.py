"""Calls: answers that are given again, under a request_id for a day, or to equal requests for as long as they ask."""
