"""All that is Binance USDⓈ-M's: addresses, how it is connected to. Another venue is another folder beside this one."""
