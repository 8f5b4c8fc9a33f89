//! What is to run, on disk: survives the agent and the machine.
//!
//! ```text
//! <state>/agent.lock                held by the agent as long as it lives; says which runtime folder it uses
//! <state>/apps/<name>/app.json      an app; written whole or not at all
//! <state>/apps/<name>/<n>.eif       the image of its generation n
//! <state>/apps/<name>/<n>.lock      held by the supervisor of that generation
//! <state>/apps/<name>/damaged.json  what `app.json` was when it could not be read
//! ```

use super::api::{AppSpec, ExitNote};
use crate::config::{Dirs, name_is_valid};
use crate::error::HostError;
use crate::files::private_dir::private_dir;
use crate::files::record::Record;
use crate::run::admission;
use caution_measure::{Measurements, Sha256Digest};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The version of `app.json`.
const VERSION: u32 = 1;
/// The longest `app.json`, in bytes: a manifest as a JSON array of numbers, and [`MAX_EXITS`].
const MAX_STATE: u64 = 2 * 1024 * 1024;
/// Ends that are kept of each app.
pub(super) const MAX_EXITS: usize = 10;
/// Apps that ended and are still known; the ones that ended first are forgotten.
pub(super) const MAX_ENDED: usize = 64;

/// An app as it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    version: u32,
    /// Counts deployments of this name, from 1.
    pub(super) generation: u64,
    /// Whether an enclave is to run.
    pub(super) wanted: bool,
    /// Whether an end was noted and the next start is due.
    pub(super) due: bool,
    /// What; the image is the kept one.
    pub(super) spec: AppSpec,
    /// Of the image that was ready once; another one is not started.
    pub(super) eif_sha256: Sha256Digest,
    /// The same.
    pub(super) measurements: Measurements,
    /// Restarts in a row.
    pub(super) restarts: u32,
    /// The last ends, oldest first.
    pub(super) exits: Vec<ExitNote>,
}

impl App {
    /// An app whose enclave is ready.
    pub(super) fn new(
        generation: u64,
        spec: AppSpec,
        image: (Sha256Digest, Measurements),
        exits: Vec<ExitNote>,
    ) -> Self {
        let (eif_sha256, measurements) = image;
        Self {
            version: VERSION,
            generation,
            wanted: true,
            due: false,
            spec,
            eif_sha256,
            measurements,
            restarts: 0,
            exits,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.config.name
    }

    /// Remembers an end.
    pub(super) fn note(&mut self, exit: ExitNote) {
        self.exits.push(exit);
        self.exits.drain(..self.exits.len().saturating_sub(MAX_EXITS));
    }

    /// Ports that were chosen for it stay the app's: an enclave that is started again gets the same.
    pub(super) fn keep_ports(&mut self, record: &Record) {
        let config = &mut self.spec.config;
        for port in &mut config.ports {
            let chosen = record.ports.iter().find(|(enclave, _)| *enclave == port.enclave);
            port.host = chosen.map(|(_, host)| *host).or(port.host);
        }
        config.attestation_port = Some(record.attestation_port);
    }

    /// When it ended, for those that did.
    pub(super) fn ended_at(&self) -> u64 {
        self.exits.last().map_or(0, |exit| exit.unix_s)
    }
}

/// Why an app's file cannot be read.
#[derive(Debug)]
pub(super) struct Damaged {
    pub(super) name: String,
    pub(super) why: String,
}

/// What is on the disk.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) apps: Vec<App>,
    pub(super) damaged: Vec<Damaged>,
    /// Folders without an app: of boots that never became ready.
    pub(super) empty: Vec<String>,
}

/// The folder `<state>/apps`.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens it for this user alone.
    pub(super) fn open(dirs: &Dirs) -> Result<Self, HostError> {
        let root = dirs.state.join("apps");
        private_dir(&root)?;
        Ok(Self { root })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Reads every app. A file that cannot be read keeps no other from being read; what a link leads to is not ours.
    pub(super) fn load(&self) -> Result<Loaded, HostError> {
        let failed = |cause| HostError::File { doing: "Reading", path: self.root.clone(), cause };
        let mut names: Vec<String> = fs::read_dir(&self.root)
            .map_err(failed)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name_is_valid(name) && !self.folder(name).is_symlink())
            .collect();
        names.sort();
        let mut loaded = Loaded::default();
        for name in names {
            match read(&self.folder(&name).join(STATE), &name) {
                Ok(Some(app)) => loaded.apps.push(app),
                Ok(None) => loaded.empty.push(name),
                Err(why) => loaded.damaged.push(Damaged { name, why }),
            }
        }
        Ok(loaded)
    }

    /// Keeps a file that cannot be read out of the way, for whoever wants to know what it was.
    pub(super) fn set_aside(&self, name: &str) {
        let folder = self.folder(name);
        // Failing only means to say the same at the next start.
        let _ = fs::rename(folder.join(STATE), folder.join("damaged.json"));
    }

    /// Writes an app, whole or not at all, and waits until it is on the disk.
    pub(super) fn save(&self, app: &App) -> Result<(), HostError> {
        let folder = self.folder(app.name());
        let (path, next) = (folder.join(STATE), folder.join("app.json.next"));
        let failed = |cause| HostError::File { doing: "Writing", path: path.clone(), cause };
        let mut bytes = serde_json::to_vec_pretty(app).map_err(|e| failed(e.into()))?;
        bytes.push(b'\n');
        if bytes.len() as u64 > MAX_STATE {
            return Err(failed(io::Error::other("it would be longer than what is read back")));
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&next, &path))
            .and_then(|()| File::open(&folder)?.sync_all())
            .map_err(failed)
    }

    /// Copies an image for a generation of an app; returns where it is.
    pub(super) fn take_in(&self, name: &str, generation: u64, original: &Path) -> Result<PathBuf, HostError> {
        let folder = self.folder(name);
        private_dir(&folder)?;
        let from = File::open(original).map_err(HostError::file("Opening", original))?;
        let length = from.metadata().map_err(HostError::file("Reading", original))?.len();
        admission::disk(&folder, length)?;
        let path = folder.join(format!("{generation}.eif"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        // A boot that was interrupted may have left one that nobody may write to.
        let _ = fs::remove_file(&path);
        options
            .open(&path)
            .and_then(|mut to| {
                io::copy(&mut (&from).take(length), &mut to)?;
                // Nobody has a reason to write to it.
                to.set_permissions(Permissions::from_mode(0o400))
            })
            .map_err(HostError::file("Copying the image to", &path))?;
        Ok(path)
    }

    /// Removes all images of an app but this one, and the locks that nobody takes any more; the folder, too, where
    /// nothing else is known of it.
    pub(super) fn keep_only(&self, name: &str, generation: Option<u64>) {
        let kept = generation.map(|generation| generation.to_string());
        for path in entries(&self.folder(name)) {
            let of_image = path.extension().is_some_and(|e| e == "eif" || e == "lock");
            if of_image && path.file_stem().and_then(|stem| stem.to_str()) != kept.as_deref() {
                let _ = fs::remove_file(path);
            }
        }
        // Fails, as it should, where something is left.
        let _ = fs::remove_dir(self.folder(name));
    }

    /// Forgets an app.
    pub(super) fn forget(&self, name: &str) {
        let _ = fs::remove_dir_all(self.folder(name));
    }
}

/// Whether an agent of this user has an app of this name to run, or to start again.
pub(crate) fn is_wanted(dirs: &Dirs, name: &str) -> bool {
    let path = dirs.state.join("apps").join(name).join(STATE);
    read(&path, name).is_ok_and(|app| app.is_some_and(|app| app.wanted))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Reads one file; `None` where there is none.
fn read(path: &Path, name: &str) -> Result<Option<App>, String> {
    let mut bytes = Vec::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    file.take(MAX_STATE + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_STATE {
        return Err(format!("it has more than {MAX_STATE} bytes"));
    }
    let app: App = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    if app.version != VERSION {
        return Err(format!("it has version {}, and this agent reads version {VERSION}", app.version));
    }
    if app.name() != name {
        return Err(format!("it is about `{}`", printable(app.name())));
    }
    Ok(Some(app))
}

/// A name from a file that cannot be trusted, for a terminal.
fn printable(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

/// The file of an app.
const STATE: &str = "app.json";

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::RunConfig;
    use caution_abi::boot_plan::{Restart, RestartPolicy};
    use caution_measure::Pcr;

    pub(in crate::agent) fn dirs(root: &Path) -> Dirs {
        Dirs { state: root.join("state"), runtime: root.join("run"), cache: root.join("cache") }
    }

    pub(in crate::agent) fn app(name: &str) -> App {
        let config = RunConfig { name: name.to_owned(), eif: "/x.eif".into(), ..RunConfig::sample() };
        let restart =
            Restart { policy: RestartPolicy::OnFailure, max_restarts: 5, backoff_ms: 1, backoff_max_ms: 1 };
        let measurements = Measurements { pcr0: Pcr::ZERO, pcr1: Pcr::ZERO, pcr2: Pcr::EMPTY };
        App::new(1, AppSpec { config, restart }, (Sha256Digest::of(b""), measurements), Vec::new())
    }

    fn note(reason: &str) -> ExitNote {
        ExitNote { unix_s: 1, reason: reason.to_owned(), then: String::new() }
    }

    #[test]
    fn apps_are_read_back_and_a_damaged_file_keeps_no_other_from_it() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let store = Store::open(&dirs).unwrap();
        let image = root.path().join("image");
        fs::write(&image, "image").unwrap();
        for name in ["a", "b", "c", "d", "e", "f"] {
            store.take_in(name, 1, &image).unwrap();
            store.save(&app(name)).unwrap();
        }
        std::os::unix::fs::symlink(root.path(), dirs.state.join("apps/link")).unwrap();
        let path = |name: &str| dirs.state.join("apps").join(name).join(STATE);
        let text = fs::read_to_string(path("a")).unwrap();
        fs::write(path("b"), &text[..text.len() / 2]).unwrap();
        fs::write(path("c"), &text).unwrap();
        fs::write(path("d"), text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        fs::write(path("e"), " ".repeat(3 << 20)).unwrap();
        fs::remove_file(path("f")).unwrap();
        let Loaded { apps, damaged, empty } = store.load().unwrap();
        assert_eq!((apps, empty), (vec![app("a")], vec!["f".to_owned()]));
        let wanted: Vec<&str> = ["a", "b", "g"].into_iter().filter(|name| is_wanted(&dirs, name)).collect();
        assert_eq!(wanted, ["a"]);
        let names: Vec<&str> = damaged.iter().map(|damaged| damaged.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "d", "e"]);
        for name in &names {
            store.set_aside(name);
        }
        store.keep_only("f", None);
        assert!(damaged[1].why.contains("about `a`") && damaged[2].why.contains("version 2"), "{damaged:?}");
        assert!(path("b").with_file_name("damaged.json").exists() && !path("b").exists());
        assert!(!path("f").parent().unwrap().exists(), "an image without an app is removed");
        assert!(store.load().unwrap().damaged.is_empty(), "it is said once");
    }

    #[test]
    fn images_stay_what_they_were_and_only_one_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&dirs(root.path())).unwrap();
        let image = root.path().join("image");
        fs::write(&image, "one").unwrap();
        let first = store.take_in("a", 1, &image).unwrap();
        fs::write(&image, "two").unwrap();
        let second = store.take_in("a", 2, &image).unwrap();
        store.take_in("a", 2, &image).unwrap();
        assert_eq!((fs::read(&first).unwrap(), fs::read(&second).unwrap()), (b"one".into(), b"two".into()));
        store.keep_only("a", Some(2));
        assert!(!first.exists() && second.exists());
        store.keep_only("a", None);
        assert!(!second.exists());
    }

    #[test]
    fn the_last_ends_are_kept() {
        let mut app = app("a");
        for at in 0..12 {
            app.note(note(&at.to_string()));
        }
        assert_eq!(app.exits.len(), MAX_EXITS);
        assert_eq!(app.exits[0].reason, "2");
    }
}
