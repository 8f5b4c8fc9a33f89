//! `caution attestation …`: documents by themselves.

pub(crate) mod inspect;
mod verify;

use crate::Context;
use crate::error::{CliError, Exit};
use crate::files::read_stream_limited;
use caution_measure::{Pcr, PcrIndex};
use std::fs::File;
use std::path::Path;

/// The verb after `caution attestation`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Authenticate a Nitro attestation document.
    Verify(verify::Args),
    /// Show what a document says, without verifying anything.
    Inspect(inspect::Args),
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<u8, CliError> {
    match command {
        Command::Verify(args) => verify::run(context, args).map(|()| 0),
        Command::Inspect(args) => inspect::run(context, args).map(|()| 0),
    }
}

/// The longest input: a 16 KiB document in hex, with line breaks.
const MAX_INPUT: usize = 64 * 1024;

/// A document from a file, or from standard input for `-`; raw bytes, hex or base64.
fn read_document(path: &Path) -> Result<Vec<u8>, CliError> {
    let (name, read) = if path == Path::new("-") {
        ("Standard input".to_owned(), read_stream_limited(std::io::stdin().lock(), MAX_INPUT))
    } else {
        let file = File::open(path);
        (path.display().to_string(), file.and_then(|file| read_stream_limited(file, MAX_INPUT)))
    };
    let bytes =
        read.map_err(|e| CliError::io("The document cannot be read", path, &e))?.ok_or_else(|| {
            CliError::new(
                Exit::EvidenceInvalid,
                format!("{name} has more than {MAX_INPUT} bytes; documents are shorter."),
            )
        })?;
    Ok(decode(bytes))
}

/// A COSE_Sign1 document begins with byte 0x84 (an array of four) or 0xD2 (its tag), which no text
/// does; text is hex when every character is a hex digit, else base64 of either alphabet.
/// What is none of these is passed on, and the parser names what is wrong with it.
fn decode(bytes: Vec<u8>) -> Vec<u8> {
    if matches!(bytes.first(), Some(0x84 | 0xd2)) {
        return bytes;
    }
    let text: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(&text)
        .or_else(|_| data_encoding::BASE64.decode(&text))
        .or_else(|_| data_encoding::BASE64_NOPAD.decode(&text))
        .or_else(|_| data_encoding::BASE64URL.decode(&text))
        .or_else(|_| data_encoding::BASE64URL_NOPAD.decode(&text))
        .unwrap_or(bytes)
}

/// Registers by number, in hex.
fn pcrs_json<'p>(pcrs: impl Iterator<Item = (PcrIndex, &'p Pcr)>) -> serde_json::Value {
    pcrs.map(|(register, pcr)| (register.get().to_string(), serde_json::json!(pcr))).collect()
}

fn hex(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| data_encoding::HEXLOWER.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::{MAX_INPUT, decode, read_document};
    use crate::error::Exit;

    #[test]
    fn a_file_longer_than_any_document_is_no_evidence() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![0x84; MAX_INPUT + 1]).unwrap();
        assert_eq!(read_document(file.path()).unwrap_err().exit, Exit::EvidenceInvalid);
        std::fs::write(file.path(), vec![0x84; MAX_INPUT]).unwrap();
        assert_eq!(read_document(file.path()).unwrap().len(), MAX_INPUT);
    }

    #[test]
    fn the_three_forms_are_told_apart() {
        let document = [0x84, 0x44, 0xa1, 0xfb];
        assert_eq!(decode(document.to_vec()), document);
        assert_eq!(decode(b"8444\nA1FB\n".to_vec()), document);
        assert_eq!(decode(b"hESh\n+w==\n".to_vec()), document);
        assert_eq!(decode(b"hESh-w".to_vec()), document);
        assert_eq!(decode(b"what?".to_vec()), b"what?");
    }
}
