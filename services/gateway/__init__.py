"""The Gateway: forwards the calls of applications to the services, without parsing them."""
