"""The ways in which families of models write their tool calls, one module for each."""
