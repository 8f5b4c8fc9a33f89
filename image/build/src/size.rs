//! Sizes as people read them.

/// Bytes in the unit a person reads: `812 B`, `3.1 MiB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn human_size(bytes: u64) -> String {
    let bytes_f = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes_f / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes_f / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes_f / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_a_unit() {
        assert_eq!(
            [812, 2048, 3_250_586, 3 << 30].map(human_size),
            ["812 B", "2.0 KiB", "3.1 MiB", "3.0 GiB"]
        );
    }
}
