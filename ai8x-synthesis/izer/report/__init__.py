"""The HTML report about one network: what it is, where it lives, what it costs, which rules it keeps."""
