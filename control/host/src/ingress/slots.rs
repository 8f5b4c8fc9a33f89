//! Where an app's enclave is at the moment: links in a folder, which Caddy follows at each request.
//!
//! ```text
//! <folder>/<app>.0      link to the socket of an enclave's HTTP port; absent: 503
//! <folder>/<app>.1      the same; the slot that counts while <app>.second exists
//! <folder>/<app>.second
//! <folder>/<app>.ev     link to the socket of attestd
//! ```
//! `<app>` is 16 digits of the hash of its name. A new enclave always gets the slot that does not
//! count, and then the slots change places: Caddy keeps connections by slot, so that requests that
//! come afterwards never meet a connection to the old enclave, and those under way end where they are.

use super::routes::App;
use crate::error::HostError;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of links.
#[derive(Debug)]
pub(crate) struct Slots {
    folder: PathBuf,
}

impl Slots {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The paths of both slots.
    pub(crate) fn of(&self, app: &App) -> [String; 2] {
        [0, 1].map(|slot| self.path(app, &slot.to_string()).display().to_string())
    }

    /// The path of the link to attestd.
    pub(crate) fn attestation(&self, app: &App) -> String {
        self.path(app, "ev").display().to_string()
    }

    /// Lets an app's slots lead to where its enclave is now.
    pub(crate) fn set(&self, app: &App) -> Result<(), HostError> {
        match &app.attestation {
            Some(socket) => link(&self.path(app, "ev"), socket)?,
            None => remove(&self.path(app, "ev"))?,
        }
        let switch = self.folder.join(switch(app));
        let second = switch.exists();
        let active = self.path(app, if second { "1" } else { "0" });
        let now = fs::read_link(&active).ok();
        match &app.upstream {
            None => remove(&active),
            Some(socket) if now.as_deref() == Some(socket) => Ok(()),
            Some(socket) if second => {
                link(&self.path(app, "0"), socket)?;
                remove(&switch)
            }
            Some(socket) => {
                link(&self.path(app, "1"), socket)?;
                fs::write(&switch, b"").map_err(HostError::file("Creating", &switch))
            }
        }
    }

    /// Removes what belongs to none of these apps.
    pub(crate) fn keep_only(&self, apps: &[App]) -> Result<(), HostError> {
        let keys: BTreeSet<OsString> = apps.iter().map(|app| app.key().into()).collect();
        let entries = fs::read_dir(&self.folder).map_err(HostError::file("Reading", &self.folder))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.file_stem().is_none_or(|stem| !keys.contains(stem)) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, app: &App, end: &str) -> PathBuf {
        self.folder.join(format!("{}.{end}", app.key()))
    }
}

/// The name, in the folder, of the file whose presence makes an app's second slot count.
pub(crate) fn switch(app: &App) -> String {
    format!("{}.second", app.key())
}

/// Makes or replaces a link in one step.
fn link(path: &Path, target: &Path) -> Result<(), HostError> {
    let next = path.with_extension("next");
    remove(&next)?;
    std::os::unix::fs::symlink(target, &next).map_err(HostError::file("Creating", &next))?;
    fs::rename(&next, path).map_err(HostError::file("Creating", path))
}

fn remove(path: &Path) -> Result<(), HostError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(HostError::file("Removing", path)(cause))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::routes::IngressSpec;

    fn app(name: &str, upstream: Option<&str>) -> App {
        let path = |text: &str| PathBuf::from(text);
        App {
            name: name.to_owned(),
            spec: IngressSpec::default(),
            upstream: upstream.map(path),
            attestation: Some(path("/run/ev")),
        }
    }

    /// Where a request of this moment goes, as Caddy decides it.
    fn leads_to(slots: &Slots, app: &App) -> Option<PathBuf> {
        let second = slots.folder.join(switch(app)).exists();
        fs::read_link(&slots.of(app)[usize::from(second)]).ok()
    }

    #[test]
    fn each_enclave_gets_the_slot_that_the_one_before_did_not_have() {
        let root = tempfile::tempdir().unwrap();
        let slots = Slots::new(root.path().to_owned());
        let mut before = None;
        for socket in ["/run/one", "/run/two", "/run/three"] {
            let app = app("hello", Some(socket));
            slots.set(&app).unwrap();
            slots.set(&app).unwrap();
            assert_eq!(leads_to(&slots, &app).unwrap(), PathBuf::from(socket));
            let second = root.path().join(switch(&app)).exists();
            assert_ne!(before, Some(second));
            before = Some(second);
        }
        let gone = app("hello", None);
        slots.set(&gone).unwrap();
        assert_eq!(leads_to(&slots, &gone), None);
        assert_eq!(fs::read_link(slots.attestation(&gone)).unwrap(), PathBuf::from("/run/ev"));
    }

    #[test]
    fn nothing_stays_of_apps_that_left() {
        let root = tempfile::tempdir().unwrap();
        let slots = Slots::new(root.path().to_owned());
        let (stays, goes) = (app("stays", Some("/run/a")), app("goes", Some("/run/b")));
        slots.set(&stays).unwrap();
        slots.set(&goes).unwrap();
        slots.keep_only(std::slice::from_ref(&stays)).unwrap();
        assert_eq!(leads_to(&slots, &stays).unwrap(), PathBuf::from("/run/a"));
        assert_eq!(leads_to(&slots, &goes), None);
        let left = fs::read_dir(root.path()).unwrap().count();
        assert_eq!(left, 3, "a link for each socket, and the switch");
    }
}
