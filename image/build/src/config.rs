//! The app's configuration, from the commit and from nowhere else.

use crate::git::{CommitId, GitError, Repository};
use caution_appspec::{AppSpec, ConfigErrors, ConfigFile, MAX_BYTES, parse};

/// Why a commit's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is none.
    #[error("Commit {commit} has neither `caution.hcl` nor `Procfile`{}.", if *.in_work_tree { " (the work tree has one that is not committed)" } else { "" })]
    None {
        /// The commit.
        commit: CommitId,
        /// Whether one lies in the work tree.
        in_work_tree: bool,
    },
    /// It is not text.
    #[error("`{file}` in commit {commit} is not UTF-8 text.")]
    NotText {
        /// The file.
        file: &'static str,
        /// The commit.
        commit: CommitId,
    },
    /// It has errors, or asks for something this version does not do.
    #[error("{0}")]
    Problems(ConfigErrors),
    /// It cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl ConfigError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::None { in_work_tree: true, .. } => {
                Some("git add caution.hcl Procfile (the one there is), then git commit".into())
            }
            Self::None { .. } => Some("caution init (writes a template)".into()),
            Self::NotText { .. } => Some("save it as UTF-8 and commit it".into()),
            Self::Git(error) => error.fix(),
            // Each problem stands with its own.
            Self::Problems(_) => None,
        }
    }
}

/// Reads the configuration of a commit. `caution.hcl` wins where both exist.
///
/// # Errors
/// - [`ConfigError::None`] when the commit has neither file
/// - [`ConfigError::Problems`] with every error at once, or with everything that is not supported yet
pub(crate) fn load_config(repo: &Repository, commit: &CommitId) -> Result<AppSpec, ConfigError> {
    for file in ConfigFile::BY_PRECEDENCE {
        let name = file.file_name();
        let Some(bytes) = repo.read_file(commit, name, MAX_BYTES as u64)? else { continue };
        let text = String::from_utf8(bytes)
            .map_err(|_| ConfigError::NotText { file: name, commit: commit.clone() })?;
        let config = parse(file, &text).map_err(ConfigError::Problems)?;
        return config.into_supported(file).map_err(ConfigError::Problems);
    }
    let in_work_tree = ConfigFile::BY_PRECEDENCE.iter().any(|f| repo.root().join(f.file_name()).exists());
    Err(ConfigError::None { commit: commit.clone(), in_work_tree })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn load(scratch: &Scratch) -> Result<AppSpec, ConfigError> {
        let repository = Repository::discover(scratch.path())?;
        load_config(&repository, &repository.head()?)
    }

    #[test]
    fn hcl_wins_and_only_the_commit_counts() {
        let scratch = Scratch::new();
        scratch.write("Procfile", "run: /app/server\nports: 8080\n");
        scratch.commit();
        scratch.write("caution.hcl", "not committed");
        assert_eq!(load(&scratch).expect("is the Procfile").network.ports.len(), 1);

        scratch.write("caution.hcl", "not = valid = hcl");
        scratch.commit();
        let error = load(&scratch).expect_err("HCL wins");
        assert!(matches!(&error, ConfigError::Problems(e) if e.file == ConfigFile::Hcl), "{error}");
    }

    #[test]
    fn an_absent_file_names_both_and_the_command_that_helps() {
        let scratch = Scratch::new();
        scratch.write("README", "x");
        scratch.commit();
        let error = load(&scratch).expect_err("has none");
        assert!(error.to_string().contains("neither `caution.hcl` nor `Procfile`."), "{error}");
        assert!(error.fix().is_some_and(|fix| fix.contains("caution init")));
        scratch.write("Procfile", "run: /app/server\n");
        let error = load(&scratch).expect_err("is not committed");
        assert!(error.to_string().contains("not committed"), "{error}");
    }

    #[test]
    fn what_is_not_text_or_too_long_is_refused() {
        let scratch = Scratch::new();
        std::fs::write(scratch.path().join("Procfile"), b"run: \xff\n").expect("writes");
        scratch.commit();
        let error = load(&scratch).expect_err("is not text");
        assert!(matches!(error, ConfigError::NotText { file: "Procfile", .. }), "{error}");
        assert!(error.fix().is_some_and(|fix| fix.contains("UTF-8")));
        scratch.write("Procfile", &"#".repeat(MAX_BYTES + 1));
        scratch.commit();
        assert!(matches!(load(&scratch), Err(ConfigError::Git(GitError::FileTooBig { .. }))));
    }

    #[test]
    fn what_is_not_supported_yet_is_refused_and_not_ignored() {
        let scratch = Scratch::new();
        scratch.write("Procfile", "run: /app/server\nports: 8080\nlocksmith: true\n");
        scratch.commit();
        let error = load(&scratch).expect_err("is refused");
        assert!(matches!(&error, ConfigError::Problems(e) if e.problems.len() == 1), "{error}");
        assert!(error.to_string().contains("Procfile:3"), "{error}");
    }
}
