"""The V1 protocol of TensorFlow Serving and KServe."""
