"""Many devices learn one domain together, on Flower: adaptors travel, images never do.

`plan` is what devices agree on, `device` what one of them does, `updates` what the server believes;
these know nothing of Flower. `client_app` and `server_app` are what Flower runs.
"""
