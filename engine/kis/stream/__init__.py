"""The WebSocket: one connection for each app key, frames turned into Arrow."""
