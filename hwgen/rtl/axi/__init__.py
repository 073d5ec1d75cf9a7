"""The AXI ports: their signals, engines that plan and track bursts, and the multiplexer of two readers."""
