"""The broker: token, pace, endpoints, and KIS JSON turned into Arrow."""
