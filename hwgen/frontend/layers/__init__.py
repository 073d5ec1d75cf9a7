"""What calibration and quantisation do with every kind of layer."""
