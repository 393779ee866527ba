// placeholder, replaced by the native helper
