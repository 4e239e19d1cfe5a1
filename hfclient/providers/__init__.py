"""What each provider's wire looks like. Nothing here performs I/O; a test walks the syntax trees to keep it so."""
