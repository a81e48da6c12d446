"""The simulator's WebSocket: trades made of bars, frames as KIS writes them, who gets which."""
