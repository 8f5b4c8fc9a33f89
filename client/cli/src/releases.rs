//! The EnclaveOS releases that this program knows: the list built into it, or a newer one that was signed.

use crate::config::Config;
use crate::error::{CliError, Exit};
use crate::files::{self, Found};
use caution_enclaveos::{KnownError, KnownReleases, ListKeys, MAX_LIST};
use data_encoding::BASE64;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The list that counts, and where it comes from.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) list: KnownReleases,
    /// The update that was taken; none for the list built in.
    pub(crate) update: Option<PathBuf>,
}

/// The list that counts on this machine. An update is verified each time it is read; one that does not verify is an
/// error, since going on without it could bring back a release that it withdrew.
pub(crate) fn known(config: &Config) -> Result<Known, CliError> {
    Lists::of(config).known()
}

/// Takes a newer list from a file, with its signature beside it in `FILE.sig`.
pub(crate) fn update(config: &Config, file: &Path) -> Result<Known, CliError> {
    Lists::of(config).update(file)
}

/// Both lists there can be.
struct Lists {
    built_in: KnownReleases,
    /// Who may sign others.
    keys: ListKeys,
    /// Where an update is kept: a line with its signature in base64, then its bytes.
    place: PathBuf,
}

impl Lists {
    fn of(config: &Config) -> Self {
        let points = KEYS.map(|pem| point(pem).expect("the keys are files of this crate; a test reads them"));
        Self {
            built_in: KnownReleases::parse(BUILT_IN)
                .expect("the list is a file of this crate; a test reads it"),
            keys: ListKeys::new(points.iter().map(Vec::as_slice)).expect("so are its keys"),
            place: config.state.join("enclaveos-releases.signed"),
        }
    }

    fn known(self) -> Result<Known, CliError> {
        let bytes = match files::look_at(&self.place, MAX_LIST + 2 * MAX_SIGNATURE)? {
            Found::Nothing => return Ok(Known { list: self.built_in, update: None }),
            Found::File(bytes) => bytes,
            Found::Other => return Err(self.unusable("it is no file, or longer than any such file".into())),
        };
        let (signature, list) =
            split(&bytes).ok_or_else(|| self.unusable("it begins with no signature".into()))?;
        let list =
            self.keys.open(list, &signature).map_err(|e| self.unusable(CliError::from(e).summary()))?;
        match self.built_in.check_follows(&list) {
            Ok(()) => Ok(Known { list, update: Some(self.place) }),
            // This program is newer than the update that one before it took.
            Err(KnownError::Older { .. }) => Ok(Known { list: self.built_in, update: None }),
            Err(e) => Err(self.unusable(CliError::from(e).summary())),
        }
    }

    fn update(self, file: &Path) -> Result<Known, CliError> {
        let signature_file: OsString = [file.as_os_str(), ".sig".as_ref()].into_iter().collect();
        let bytes = files::read_limited(file, MAX_LIST)?;
        let signature = files::read_limited(Path::new(&signature_file), MAX_SIGNATURE)?;
        let list = self.keys.open(&bytes, &signature)?;
        let place = self.place.clone();
        let folder = place.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .map_err(|e| CliError::io("The state folder cannot be created", folder, &e))?;
        // Between the look at what is known and the new file nobody else puts a newer one there, which would go.
        let lock = place.with_extension("lock");
        let _turn = File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|e| CliError::io("The list of EnclaveOS releases cannot be locked", &lock, &e))?;
        self.known()?.list.check_follows(&list)?;
        let line = BASE64.encode(&signature) + "\n";
        files::write(&place, &[line.as_bytes(), &bytes].concat())?;
        Ok(Known { list, update: Some(place) })
    }

    fn unusable(&self, cause: String) -> CliError {
        let place = self.place.display();
        CliError {
            exit: Exit::CannotReproduce,
            message: format!("The update of the list of EnclaveOS releases, {place}, cannot be used."),
            causes: vec![cause],
            hint: Some(format!(
                "rm {place}      (back to the list built into this program)\n\
                 caution enclaveos releases --update FILE      (then take the newest one again)"
            )),
        }
    }
}

/// The signature and the list of a kept update.
fn split(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((BASE64.decode(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// The point of a P-384 key as `openssl ec -pubout` writes it.
fn point(pem: &str) -> Option<Vec<u8>> {
    let body =
        pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    BASE64.decode(body.as_bytes()).ok()?.strip_prefix(&SPKI_P384).map(<[u8]>::to_vec)
}

/// `SubjectPublicKeyInfo { id-ecPublicKey, secp384r1 }` up to the point, RFC 5480.
const SPKI_P384: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
/// The releases this program was built with.
const BUILT_IN: &[u8] = include_bytes!("../releases/releases.json");
/// Whoever has one of the private halves may say which releases are known.
const KEYS: [&str; 1] = [include_str!("../releases/key.pem")];
/// Two numbers of 48 bytes in DER have 104 at most.
const MAX_SIGNATURE: usize = 128;

#[cfg(test)]
mod tests;
