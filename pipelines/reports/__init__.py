"""What is stored, shown to people: tables, pictures, the page."""
