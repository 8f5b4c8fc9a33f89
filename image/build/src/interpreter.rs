//! The other program that a program cannot start without.

/// The interpreter that an executable file names for itself: what stands behind `#!`, or the dynamic loader of an ELF
/// file (`PT_INTERP`). `start` are its first [`LOOKED_AT`] bytes. Anything else is left to the kernel.
///
/// Source: `fs/binfmt_script.c` and `fs/binfmt_elf.c` of Linux.
pub(crate) fn of(start: &[u8]) -> Option<String> {
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
        return Some(
            String::from_utf8_lossy(line).split_ascii_whitespace().next().unwrap_or_default().to_owned(),
        );
    }
    // 64 bits, the lowest byte first: what amd64 is.
    start.strip_prefix(b"\x7fELF\x02\x01")?;
    let (table, size, count) = (number(start, 32, 8)?, number(start, 54, 2)?, number(start, 56, 2)?);
    for header in 0..count {
        let at = table.checked_add(header.checked_mul(size)?)?;
        if number(start, at, 4)? == PT_INTERP {
            let (from, length) =
                (number(start, at.checked_add(8)?, 8)?, number(start, at.checked_add(32)?, 8)?);
            let name = start.get(from..from.checked_add(length)?).unwrap_or(b"a dynamic loader");
            return Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned());
        }
    }
    None
}

/// A number of so many bytes at a place of the file.
fn number(file: &[u8], at: usize, bytes: usize) -> Option<usize> {
    let digits = file.get(at..at.checked_add(bytes)?)?;
    digits
        .iter()
        .rev()
        .try_fold(0usize, |number, digit| number.checked_mul(256)?.checked_add(usize::from(*digit)))
}

/// Program headers stand right behind the file's own, and the name behind them, unless somebody moved them.
pub(crate) const LOOKED_AT: u64 = 64 * 1024;
const PT_INTERP: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// As a linker writes it: two program headers, the second of which names a loader.
    fn dynamic() -> Vec<u8> {
        let name = b"/lib64/ld-linux-x86-64.so.2\0";
        let mut file = vec![0; 64 + 2 * 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (file[32], file[54], file[56]) = (64, 56, 2);
        (file[64], file[64 + 56]) = (1, 3);
        (file[64 + 56 + 8], file[64 + 56 + 32]) = (64 + 2 * 56, 28);
        file.extend(name);
        file
    }

    #[test]
    fn loaders_and_script_interpreters_are_found() {
        assert_eq!(of(&dynamic()).as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        for (script, expected) in
            [(&b"#!/bin/sh\n"[..], "/bin/sh"), (b"#! /usr/bin/env python3\nx", "/usr/bin/env"), (b"#!", "")]
        {
            assert_eq!(of(script).as_deref(), Some(expected));
        }
        let this = std::fs::read(std::env::current_exe().expect("is running")).expect("reads");
        assert!(of(&this).is_some_and(|loader| loader.starts_with('/')), "tests are linked dynamically");
    }

    #[test]
    fn programs_that_need_none_and_broken_ones_have_none() {
        let file = dynamic();
        // Up to where the second header says how long the name is.
        for length in 0..64 + 56 + 40 {
            assert_eq!(of(&file[..length]), None, "{length}");
        }
        assert_eq!(of(&file[..file.len() - 1]).as_deref(), Some("a dynamic loader"));
        let mut still = file.clone();
        still[64 + 56] = 1;
        let mut endless = file;
        endless[32..40].fill(0xff);
        for file in [still, endless, b"#".to_vec(), b"text".to_vec()] {
            assert_eq!(of(&file), None);
        }
    }
}
