"""A web page for during the session: is the day going well?"""
