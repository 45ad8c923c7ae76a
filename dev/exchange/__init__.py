"""A stand-in for Binance USDⓈ-M futures market data: REST and WebSocket on one port, with faults on demand."""
