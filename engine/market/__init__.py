"""What is true of KRX without asking anybody: days, hours, products, symbols, expected bars."""
