"""The notifier role: what people should hear of, once each."""
