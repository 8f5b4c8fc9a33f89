//! How two commits of a repository lie to each other.

use super::{CommitId, GitError, Repository};

/// The commits that one commit has and another does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Between {
    /// How many there are.
    pub count: usize,
    /// The newest of them, newest first, each as its short id and the first line of its message.
    pub newest: Vec<String>,
}

impl Repository {
    /// Whether `older` is `newer` or in its history. What a shallow clone does not have counts as not there.
    pub fn is_ancestor(&self, older: &CommitId, newer: &CommitId) -> Result<bool, GitError> {
        let arguments = ["--is-ancestor", older.as_str(), newer.as_str()];
        Ok(self.git.answer_or_nothing("merge-base", &arguments)?.is_some())
    }

    /// What `newer` has in its history, itself included, and `older` has not; at most `show` are listed.
    pub fn between(&self, older: &CommitId, newer: &CommitId, show: usize) -> Result<Between, GitError> {
        let range = format!("{older}..{newer}");
        let ids = self.git.text("rev-list", &[&range])?;
        let ids: Vec<CommitId> = ids.lines().map(str::parse).collect::<Result<_, _>>()?;
        let newest = ids.iter().take(show).map(|id| Ok(format!("{} {}", id.short(), self.subject(id)?)));
        Ok(Between { count: ids.len(), newest: newest.collect::<Result<_, GitError>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn history_tells_ancestors_from_other_lines() {
        let scratch = Scratch::new();
        let commit = |text: &str| {
            scratch.write("file", text);
            scratch.commit();
            Repository::discover(scratch.path()).and_then(|r| r.head()).expect("a commit")
        };
        let (first, second, third) = (commit("1"), commit("2"), commit("3"));
        scratch.git(&["checkout", "-q", "-b", "other", second.as_str()]);
        let other = commit("other");
        let repository = Repository::discover(scratch.path()).expect("a repository");

        for (older, newer, expected) in
            [(&first, &third, true), (&third, &third, true), (&third, &first, false), (&other, &third, false)]
        {
            assert_eq!(repository.is_ancestor(older, newer).expect("answers"), expected);
        }
        let between = repository.between(&first, &third, 1).expect("answers");
        assert_eq!((between.count, between.newest.len()), (2, 1));
        assert!(between.newest[0].starts_with(third.short()));
        assert_eq!(repository.between(&third, &third, 9).expect("answers").count, 0);
    }
}
