//! Folders that are this user's alone: in all of them lie sockets, images or lines that nobody else may have.

use crate::error::HostError;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Makes a folder, where there is none, and closes it to everybody else. One of another user is refused, and so is a link
/// of another user: whoever made it could read what comes in, or lead it elsewhere.
pub(crate) fn private_dir(path: &Path) -> Result<(), HostError> {
    DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(HostError::file("Creating", path))?;
    let uid = nix::unistd::Uid::effective().as_raw();
    let name = fs::symlink_metadata(path).map_err(HostError::file("Reading", path))?;
    let folder = fs::metadata(path).map_err(HostError::file("Reading", path))?;
    if name.uid() != uid || folder.uid() != uid {
        return Err(HostError::NotOurs { path: path.to_owned() });
    }
    if folder.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(HostError::file("Protecting", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_is_made_and_closed_to_everybody_else() {
        let root = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let (new, open, link) = (root.path().join("a/b"), root.path().join("open"), root.path().join("link"));
        private_dir(&new).unwrap();
        assert_eq!((mode(&new), mode(new.parent().unwrap())), (0o700, 0o700));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        symlink(&open, &link).unwrap();
        private_dir(&link).unwrap();
        assert_eq!(mode(&open), 0o700);
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = private_dir(&file).unwrap_err();
        assert!(refused.to_string().starts_with("Creating "), "{refused}");
    }

    #[test]
    fn what_belongs_to_someone_else_is_refused() {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let (folder, link) = (root.path().join("folder"), root.path().join("link"));
        private_dir(&folder).unwrap();
        symlink(&folder, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        for theirs in [&link, &folder] {
            std::os::unix::fs::lchown(theirs, Some(65_534), None).unwrap();
            let refused = private_dir(theirs).unwrap_err();
            let sentence = format!("The folder {} belongs to another user.", theirs.display());
            assert_eq!(refused.to_string(), sentence);
            assert!(refused.fix().is_some());
            std::os::unix::fs::lchown(theirs, Some(0), None).unwrap();
        }
    }
}
