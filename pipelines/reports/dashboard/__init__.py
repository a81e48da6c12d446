"""The web page that is open all day: the market first, then whether the day is going well."""
