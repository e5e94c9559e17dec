"""Network description and quantized checkpoint to a program for the CNN accelerator."""
