//! Git checkouts of example applications, as a user would have them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A checkout in a folder of its own.
pub struct Repository {
    _folder: TempDir,
    /// The work tree.
    pub root: PathBuf,
}

impl Repository {
    /// A fresh repository that holds `examples/<name>` in one commit.
    pub fn of_example(name: &str) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        let repository = Self::new(name);
        let status = Command::new("cp").arg("-r").arg(example.join(".")).arg(&repository.root).status();
        assert!(status.is_ok_and(|s| s.success()), "{} can be copied", example.display());
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit("first");
        repository
    }

    /// A clone, history included, whose changes do not reach the original.
    #[must_use]
    pub fn clone_of(&self) -> Self {
        let name = self.root.file_name().expect("a named folder").to_string_lossy().into_owned();
        let clone = Self::new(&name);
        let from = self.root.to_str().expect("a UTF-8 path");
        clone.git(&["clone", "-q", from, "."]);
        clone
    }

    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join(name);
        fs::create_dir(&root).expect("a new folder");
        Self { _folder: folder, root }
    }

    /// Replaces `from` by `to` in a file, once, and commits.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).expect("a text file");
        assert!(text.contains(from), "{file} holds `{from}`");
        fs::write(&path, text.replacen(from, to, 1)).expect("a writable file");
        self.commit(&format!("change {file}"));
    }

    /// Commits everything that is neither ignored nor written by caution.
    pub fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        // Where nothing says that they are to be ignored.
        self.git(&["rm", "-rq", "--cached", "--ignore-unmatch", "eif-stage", ".caution"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// The full id of HEAD.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs git here and returns what it printed.
    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgSign=false"])
            .args(["-c", "core.excludesFile="])
            .args(args)
            .current_dir(&self.root)
            .output()
            .expect("git starts");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A file of the build's stage.
    pub fn stage(&self, path: &str) -> PathBuf {
        self.root.join("eif-stage").join(path)
    }
}
