//! Container image to merged tree to canonical cpio to deterministic gzip.
