//! The same bytes from another user of the machine.

use super::*;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

/// Another user has storage of their own, other ids and no rights beyond their files.
#[test]
fn another_user_builds_the_same_bytes() {
    const OTHER: u32 = 65534;
    if fs::metadata("/proc/self").expect("is mounted").uid() != 0 {
        eprintln!("NOT TESTED: only root can build as another user");
        return;
    }
    let scratch = app();
    let here = build_quietly(&scratch).expect("builds");
    // Folders of cargo and of other temporary files may be closed to other users.
    let open = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let at = |name: &str| open.path().join(name);
    scratch.git(&["clone", "-q", &scratch.path().to_string_lossy(), &at("repo").to_string_lossy()]);
    release(&at("release"), KERNEL);
    fs::copy(std::env::current_exe().expect("is running"), at("test")).expect("copies");
    fs::create_dir(at("home")).expect("mkdir");
    let chown = Command::new("chown").arg("-R").arg(format!("{OTHER}:{OTHER}")).arg(open.path()).status();
    assert!(chown.is_ok_and(|status| status.success()), "chown");
    let ended = child_of(
        &at("test"),
        &at("repo"),
        &format!(
            "HOME=$PWD/../home XDG_RUNTIME_DIR=$PWD/../home; export HOME XDG_RUNTIME_DIR; \
             unset XDG_DATA_HOME XDG_CONFIG_HOME XDG_CACHE_HOME TMPDIR; \
             exec setpriv --reuid {OTHER} --regid {OTHER} --clear-groups \"$0\" \"$@\""
        ),
    );
    assert!(ended.success(), "{ended}");
    let eif = at("repo/eif-stage/output/enclave.eif");
    assert_eq!(fs::metadata(&eif).expect("was built").uid(), OTHER);
    assert_eq!(Sha256Digest::of(&fs::read(eif).expect("was built")), here.sha256);
}
