"""Looking at what is stored: tables, pictures, pages."""
