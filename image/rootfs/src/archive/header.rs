//! The 512-byte header of a member.

use super::TarError;

/// Everything in an archive is padded to blocks of this size.
pub(super) const BLOCK: usize = 512;

/// A header whose checksum is right.
pub(super) struct Block {
    bytes: [u8; BLOCK],
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Before POSIX: no prefix, no device numbers worth reading.
    V7,
    Ustar,
    Gnu,
}

impl Block {
    /// The header, or `None` where the checksum is wrong.
    pub(super) fn new(bytes: &[u8; BLOCK]) -> Option<Self> {
        let announced = number(&bytes[148..156])?;
        let body = || bytes[..148].iter().chain(&[b' '; 8]).chain(&bytes[156..]);
        let unsigned: u64 = body().map(|b| u64::from(*b)).sum();
        // Old Sun tars added signed characters.
        let signed: i64 = body().map(|b| i64::from(b.cast_signed())).sum();
        if announced != unsigned && i64::try_from(announced) != Ok(signed) {
            return None;
        }
        let format = match &bytes[257..265] {
            b"ustar  \0" => Format::Gnu,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Format::Ustar,
            _ => Format::V7,
        };
        Some(Self { bytes: *bytes, format })
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.bytes[156]
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.bytes[..100]);
        let prefix = if self.format == Format::Ustar { text(&self.bytes[345..500]) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.bytes[157..257]).to_vec()
    }

    pub(super) fn mode(&self, position: u64) -> Result<u32, TarError> {
        self.narrow(100..108, position, "mode")
    }

    pub(super) fn uid(&self, position: u64) -> Result<u32, TarError> {
        self.narrow(108..116, position, "owner")
    }

    pub(super) fn gid(&self, position: u64) -> Result<u32, TarError> {
        self.narrow(116..124, position, "group")
    }

    pub(super) fn size(&self, position: u64) -> Result<u64, TarError> {
        number(&self.bytes[124..136])
            // Room for the padding in every later sum.
            .filter(|size| *size < 1 << 60)
            .ok_or(TarError::Number { position, field: "size" })
    }

    /// Device numbers; 0 where the format has none.
    pub(super) fn device(&self, position: u64) -> Result<(u32, u32), TarError> {
        if self.format == Format::V7 || !matches!(self.type_flag(), b'3' | b'4') {
            return Ok((0, 0));
        }
        let major = self.narrow(329..337, position, "device number")?;
        let minor = self.narrow(337..345, position, "device number")?;
        Ok((major, minor))
    }

    /// GNU's old sparse form: four (offset, length) pairs, whether more follow, and the real size.
    pub(super) fn gnu_sparse(&self) -> Option<(&[u8], bool, u64)> {
        (self.format == Format::Gnu).then_some(())?;
        let real_size = number(&self.bytes[483..495])?;
        Some((&self.bytes[386..482], self.bytes[482] != 0, real_size))
    }

    fn narrow(
        &self,
        field: std::ops::Range<usize>,
        position: u64,
        name: &'static str,
    ) -> Result<u32, TarError> {
        number(&self.bytes[field])
            .and_then(|value| u32::try_from(value).ok())
            .ok_or(TarError::Number { position, field: name })
    }
}

/// A number in octal digits, or in base 256 where the first bit is set; `None` for anything else.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if let [first @ 0x80..=0xff, rest @ ..] = field {
        // 0xff… is negative.
        return rest.iter().try_fold(u64::from(first & 0x7f), |value, byte| {
            value.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if rest.iter().any(|b| !matches!(b, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Text up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or(field)
}
