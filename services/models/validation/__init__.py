"""The checks of a request, made before anything is sent: every problem at once, each by its field's path."""
