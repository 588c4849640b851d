"""The servers that are measured; ``base`` says what each of them must offer."""
