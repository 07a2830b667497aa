"""What visitors asked in vain, grouped by meaning, until somebody writes the answer."""
