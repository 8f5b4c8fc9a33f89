//! Messages of the Nitro Security Module: CBOR requests and responses.
//!
//! The same bytes go to `/dev/nsm` on hardware and, each preceded by its length as `u32` big-endian,
//! to the host's emulator over vsock. Shapes: the `aws-nitro-enclaves-nsm-api` crate's serde form (a
//! unit variant is a text string; a variant with fields is a one-entry map).

mod certificate;
mod time;

pub use certificate::document_certificate_ends_ms;
pub use time::document_time_ms;

/// The longest request the device takes, in bytes (kernel `drivers/misc/nsm.c`).
pub const MAX_REQUEST: usize = 4096;
/// The longest response, in bytes (same source).
pub const MAX_RESPONSE: usize = 12288;

/// What EnclaveOS asks an NSM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// A signed document.
    Attestation {
        /// At most 512 bytes.
        user_data: Option<&'a [u8]>,
        /// At most 512 bytes.
        nonce: Option<&'a [u8]>,
        /// At most 1024 bytes.
        public_key: Option<&'a [u8]>,
    },
    /// The value of a register.
    DescribePcr {
        /// 0 to 31.
        index: u16,
    },
    /// Up to 256 random bytes.
    GetRandom,
}

/// What an NSM answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The COSE_Sign1 document.
    Attestation {
        /// Its bytes.
        document: Vec<u8>,
    },
    /// A register.
    DescribePcr {
        /// Whether it can no longer be extended.
        lock: bool,
        /// 48 bytes.
        data: Vec<u8>,
    },
    /// Random bytes.
    GetRandom {
        /// 1 to 256 bytes.
        random: Vec<u8>,
    },
    /// A refusal.
    Error(String),
}

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed NSM message")]
pub struct MessageError;

type EncodeError = minicbor::encode::Error<std::convert::Infallible>;

impl<'a> Request<'a> {
    /// The CBOR form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut cbor = minicbor::Encoder::new(&mut bytes);
        let encoded: Result<(), EncodeError> = (|| {
            match *self {
                Self::Attestation { user_data, nonce, public_key } => {
                    cbor.map(1)?.str("Attestation")?.map(3)?;
                    for (name, value) in
                        [("user_data", user_data), ("nonce", nonce), ("public_key", public_key)]
                    {
                        cbor.str(name)?;
                        match value {
                            Some(value) => cbor.bytes(value)?,
                            None => cbor.null()?,
                        };
                    }
                }
                Self::DescribePcr { index } => {
                    cbor.map(1)?.str("DescribePCR")?.map(1)?.str("index")?.u16(index)?;
                }
                Self::GetRandom => {
                    cbor.str("GetRandom")?;
                }
            }
            Ok(())
        })();
        encoded.expect("writing to a vector cannot fail");
        bytes
    }

    /// Reads the CBOR form; used by the emulator.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, MessageError> {
        read(bytes, |cbor| {
            if cbor.datatype()? == minicbor::data::Type::String {
                return match cbor.str()? {
                    "GetRandom" => Ok(Self::GetRandom),
                    other => Err(unknown(other)),
                };
            }
            one_entry(cbor)?;
            match cbor.str()? {
                "Attestation" => {
                    let (mut user_data, mut nonce, mut public_key) = (None, None, None);
                    for _ in 0..entries(cbor)? {
                        let slot = match cbor.str()? {
                            "user_data" => &mut user_data,
                            "nonce" => &mut nonce,
                            "public_key" => &mut public_key,
                            other => return Err(unknown(other)),
                        };
                        if cbor.datatype()? == minicbor::data::Type::Null {
                            cbor.null()?;
                        } else {
                            *slot = Some(cbor.bytes()?);
                        }
                    }
                    Ok(Self::Attestation { user_data, nonce, public_key })
                }
                "DescribePCR" => {
                    one_entry(cbor)?;
                    match cbor.str()? {
                        "index" => Ok(Self::DescribePcr { index: cbor.u16()? }),
                        other => Err(unknown(other)),
                    }
                }
                other => Err(unknown(other)),
            }
        })
    }
}

impl Response {
    /// The CBOR form; used by the emulator.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut cbor = minicbor::Encoder::new(&mut bytes);
        let encoded: Result<(), EncodeError> = (|| {
            cbor.map(1)?;
            match self {
                Self::Attestation { document } => {
                    cbor.str("Attestation")?.map(1)?.str("document")?.bytes(document)?;
                }
                Self::DescribePcr { lock, data } => {
                    cbor.str("DescribePCR")?.map(2)?.str("lock")?.bool(*lock)?.str("data")?.bytes(data)?;
                }
                Self::GetRandom { random } => {
                    cbor.str("GetRandom")?.map(1)?.str("random")?.bytes(random)?;
                }
                Self::Error(code) => {
                    cbor.str("Error")?.str(code)?;
                }
            }
            Ok(())
        })();
        encoded.expect("writing to a vector cannot fail");
        bytes
    }

    /// Reads the CBOR form. Maps may be of definite or indefinite length, as real modules send both.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut response = None;
        let mut cbor = minicbor::Decoder::new(bytes);
        let parsed: Result<(), minicbor::decode::Error> = (|| {
            let outer = map_header(&mut cbor)?;
            let variant = cbor.str()?.to_owned();
            response = Some(match variant.as_str() {
                "Attestation" => {
                    let [document, _] = byte_fields(&mut cbor, ["document", ""])?;
                    Self::Attestation { document: required(document)? }
                }
                "GetRandom" => {
                    let [random, _] = byte_fields(&mut cbor, ["random", ""])?;
                    Self::GetRandom { random: required(random)? }
                }
                "DescribePCR" => describe_pcr(&mut cbor)?,
                "Error" => Self::Error(cbor.str()?.to_owned()),
                other => return Err(unknown(other)),
            });
            end_map(&mut cbor, outer)
        })();
        match (parsed, response) {
            (Ok(()), Some(response)) if cbor.position() == bytes.len() => Ok(response),
            _ => Err(MessageError),
        }
    }
}

/// Runs `parse` and insists that it consumed everything.
fn read<'b, T>(
    bytes: &'b [u8],
    parse: impl FnOnce(&mut minicbor::Decoder<'b>) -> Result<T, minicbor::decode::Error>,
) -> Result<T, MessageError> {
    let mut cbor = minicbor::Decoder::new(bytes);
    let value = parse(&mut cbor).map_err(|_| MessageError)?;
    if cbor.position() == bytes.len() { Ok(value) } else { Err(MessageError) }
}

fn unknown(name: &str) -> minicbor::decode::Error {
    minicbor::decode::Error::message(format!("unknown name {name}"))
}

/// Number of entries of a definite map, at most 8.
fn entries(cbor: &mut minicbor::Decoder<'_>) -> Result<u64, minicbor::decode::Error> {
    cbor.map()?.filter(|n| *n <= 8).ok_or_else(|| minicbor::decode::Error::message("map size"))
}

fn one_entry(cbor: &mut minicbor::Decoder<'_>) -> Result<(), minicbor::decode::Error> {
    match entries(cbor)? {
        1 => Ok(()),
        _ => Err(minicbor::decode::Error::message("map size")),
    }
}

/// `Some(n)` for a definite map of at most 8 entries, `None` for an indefinite one.
fn map_header(cbor: &mut minicbor::Decoder<'_>) -> Result<Option<u64>, minicbor::decode::Error> {
    match cbor.map()? {
        Some(n) if n > 8 => Err(minicbor::decode::Error::message("map size")),
        header => Ok(header),
    }
}

/// Consumes the break of an indefinite map.
fn end_map(cbor: &mut minicbor::Decoder<'_>, header: Option<u64>) -> Result<(), minicbor::decode::Error> {
    if header.is_none() {
        if cbor.datatype()? != minicbor::data::Type::Break {
            return Err(minicbor::decode::Error::message("expected the map's end"));
        }
        cbor.skip()?;
    }
    Ok(())
}

/// Whether another entry follows in a map of this header, `done` entries in.
fn another(
    cbor: &mut minicbor::Decoder<'_>,
    header: Option<u64>,
    done: u64,
) -> Result<bool, minicbor::decode::Error> {
    Ok(match header {
        Some(n) => done < n,
        None => cbor.datatype()? != minicbor::data::Type::Break,
    })
}

/// Reads a map whose values are byte strings, by name.
fn byte_fields<const N: usize>(
    cbor: &mut minicbor::Decoder<'_>,
    names: [&str; N],
) -> Result<[Option<Vec<u8>>; N], minicbor::decode::Error> {
    let mut values = [const { None }; N];
    let header = map_header(cbor)?;
    let mut done = 0;
    while another(cbor, header, done)? {
        let name = cbor.str()?;
        let slot = names.iter().position(|n| *n == name).ok_or_else(|| unknown(name))?;
        values[slot] = Some(cbor.bytes()?.to_vec());
        done += 1;
    }
    end_map(cbor, header)?;
    Ok(values)
}

fn describe_pcr(cbor: &mut minicbor::Decoder<'_>) -> Result<Response, minicbor::decode::Error> {
    let (mut lock, mut data) = (None, None);
    let header = map_header(cbor)?;
    let mut done = 0;
    while another(cbor, header, done)? {
        match cbor.str()? {
            "lock" => lock = Some(cbor.bool()?),
            "data" => data = Some(cbor.bytes()?.to_vec()),
            other => return Err(unknown(other)),
        }
        done += 1;
    }
    end_map(cbor, header)?;
    match (lock, data) {
        (Some(lock), Some(data)) => Ok(Response::DescribePcr { lock, data }),
        _ => Err(minicbor::decode::Error::message("missing field")),
    }
}

fn required(value: Option<Vec<u8>>) -> Result<Vec<u8>, minicbor::decode::Error> {
    value.ok_or_else(|| minicbor::decode::Error::message("missing field"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_round_trip() {
        for request in [
            Request::GetRandom,
            Request::DescribePcr { index: 16 },
            Request::Attestation { user_data: Some(b"u"), nonce: None, public_key: Some(b"") },
        ] {
            let bytes = request.to_bytes();
            assert_eq!(Request::from_bytes(&bytes), Ok(request));
            assert_eq!(Request::from_bytes(&bytes[..bytes.len() - 1]), Err(MessageError));
        }
    }

    #[test]
    fn responses_round_trip() {
        for response in [
            Response::Attestation { document: vec![1, 2] },
            Response::DescribePcr { lock: true, data: vec![0; 48] },
            Response::GetRandom { random: vec![3; 256] },
            Response::Error("InputTooLarge".into()),
        ] {
            let bytes = response.to_bytes();
            assert_eq!(Response::from_bytes(&bytes), Ok(response));
            let mut longer = bytes.clone();
            longer.push(0xff);
            assert_eq!(Response::from_bytes(&longer), Err(MessageError));
        }
    }

    #[test]
    fn indefinite_maps_are_read() {
        // {_ "GetRandom": {_ "random": h'2a'}}
        let bytes = b"\xbf\x69GetRandom\xbf\x66random\x41\x2a\xff\xff";
        assert_eq!(Response::from_bytes(bytes), Ok(Response::GetRandom { random: vec![0x2a] }));
    }
}
