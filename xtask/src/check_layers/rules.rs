//! The rules about packages. Pure: packages and lists in, problems out.

use super::workspace::Crate;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// `xtask/layers.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Lists {
    /// Core package → outside packages it may name.
    pub(crate) core: BTreeMap<String, BTreeSet<String>>,
    /// Everything below the measured binary.
    pub(crate) enclave_os: Closure,
}

/// Every outside package below one of ours.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Closure {
    /// Linked into the binary.
    pub(crate) linked: BTreeSet<String>,
    /// Run by the compiler only.
    pub(crate) compile_time: BTreeSet<String>,
}

/// A broken rule: where, what, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Package or `file:line`.
    pub(crate) place: String,
    /// A whole sentence.
    pub(crate) what: String,
    /// A whole sentence.
    pub(crate) fix: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}\n  fix: {}", self.place, self.what, self.fix)
    }
}

/// Each folder with the folders its packages may use.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("core", &["core"]),
    ("image", &["core", "image"]),
    ("enclave", &["core", "enclave"]),
    ("control", &["core", "image", "control"]),
    ("client", &["core", "image", "control", "client"]),
    ("tests", &["core", "image", "enclave", "control", "client"]),
    ("xtask", &["core", "image", "enclave", "control", "client"]),
];

/// Edges between our packages that the folders forbid.
pub(crate) fn check_edges(crates: &[Crate]) -> Vec<Problem> {
    let folder_of: BTreeMap<&str, &str> =
        crates.iter().map(|one| (one.name.as_str(), one.folder.as_str())).collect();
    let mut problems = Vec::new();
    for from in crates {
        let Some((_, allowed)) = MAY_USE.iter().find(|(folder, _)| *folder == from.folder) else {
            problems.push(unknown_folder(from));
            continue;
        };
        for edge in from.edges.iter().filter(|edge| edge.internal) {
            let to = folder_of.get(edge.to.as_str()).copied().unwrap_or("?");
            // Tests may look further, except those of core: what verifiers trust is proved without
            // anything a verifier does not trust.
            let loose = edge.dev && from.folder != "core" && !matches!(to, "tests" | "xtask" | "?");
            if !allowed.contains(&to) && !loose {
                problems.push(forbidden_edge(from, &edge.to, to, allowed));
            }
        }
    }
    problems
}

/// Outside packages that a core package names without being allowed, and allowances nobody uses.
pub(crate) fn check_core_lists(crates: &[Crate], lists: &Lists) -> Vec<Problem> {
    let mut problems = Vec::new();
    let core: Vec<&Crate> = crates.iter().filter(|one| one.folder == "core").collect();
    for one in &core {
        let used: BTreeSet<String> =
            one.edges.iter().filter(|edge| !edge.internal && !edge.dev).map(|edge| edge.to.clone()).collect();
        let allowed = lists.core.get(&one.name).cloned().unwrap_or_default();
        let list = format!("`{}` under [core]", one.name);
        problems.extend(compare(&one.name, &used, &allowed, &list));
    }
    let gone = lists.core.keys().filter(|name| core.iter().all(|one| one.name != **name));
    problems.extend(gone.map(|name| Problem {
        place: "xtask/layers.toml".into(),
        what: format!("[core] lists `{name}`, which is not a package of core/."),
        fix: "Remove the line.".into(),
    }));
    problems
}

/// Growth and shrinkage of what the measured binary is made from.
pub(crate) fn check_enclave_list(actual: &Closure, lists: &Lists) -> Vec<Problem> {
    let listed = &lists.enclave_os;
    let mut problems =
        compare(super::ENCLAVE_OS, &actual.linked, &listed.linked, "`linked` under [enclave-os]");
    problems.extend(compare(
        super::ENCLAVE_OS,
        &actual.compile_time,
        &listed.compile_time,
        "`compile-time` under [enclave-os]",
    ));
    problems
}

/// The two files that name the compiler of measured bytes.
pub(crate) fn check_toolchain(file: &str, lock: &str) -> Option<Problem> {
    (file != lock).then(|| Problem {
        place: "enclave/enclaveos.lock".into(),
        what: format!("It locks Rust {lock}, but rust-toolchain.toml names {file}."),
        fix: "Write the same version in both; a new compiler gives EnclaveOS a new PCR1.".into(),
    })
}

/// No package of `tree` (lines of `name version`, a tab, `feature,feature`) has its `std` feature on.
pub(crate) fn check_no_std(package: &str, tree: &str) -> Vec<Problem> {
    let lines = tree.lines().filter_map(|line| line.split_once('\t'));
    let with_std: BTreeSet<&str> = lines
        .filter(|(_, features)| features.split(',').any(|feature| feature == "std"))
        .filter_map(|(name, _)| name.split_whitespace().next())
        .collect();
    let problem = |name: &str| {
        Problem {
        place: package.into(),
        what: format!("It promises `no_std`, but `{name}` below it has its feature `std` on."),
        fix: "Turn its default features off in the root Cargo.toml; packages that need `std` ask for it themselves."
            .into(),
    }
    };
    with_std.into_iter().map(problem).collect()
}

fn compare(place: &str, used: &BTreeSet<String>, listed: &BTreeSet<String>, list: &str) -> Vec<Problem> {
    let names = |names: Vec<&String>| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        (!quoted.is_empty()).then(|| quoted.join(", "))
    };
    let grown = names(used.difference(listed).collect()).map(|names| Problem {
        place: place.into(),
        what: format!("It uses what is not on its closed list: {names}."),
        fix: format!("Do without, or add to {list} in xtask/layers.toml and say why in the commit."),
    });
    let shrunk = names(listed.difference(used).collect()).map(|names| Problem {
        place: "xtask/layers.toml".into(),
        what: format!("{place} no longer uses {names}."),
        fix: format!("Remove from {list}: the list may only be as long as it must."),
    });
    grown.into_iter().chain(shrunk).collect()
}

fn forbidden_edge(from: &Crate, to: &str, folder: &str, allowed: &[&str]) -> Problem {
    Problem {
        place: from.name.clone(),
        what: format!(
            "It depends on `{to}` in {folder}/, but {}/ may only use {}.",
            from.folder,
            allowed.iter().map(|name| format!("{name}/")).collect::<Vec<_>>().join(", ")
        ),
        fix: "Move what both need into core/, or pass it in as an argument.".into(),
    }
}

fn unknown_folder(from: &Crate) -> Problem {
    Problem {
        place: from.name.clone(),
        what: format!("It lies in `{}/`, which is no trust boundary.", from.folder),
        fix: "Move it below core/, image/, enclave/, control/, client/ or tests/.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Edge;
    use super::*;

    fn package(name: &str, folder: &str, uses: &[&str]) -> Crate {
        let edge = |to: &&str| Edge { to: (*to).into(), dev: false, internal: true };
        Crate { name: name.into(), folder: folder.into(), edges: uses.iter().map(edge).collect() }
    }

    fn names(problems: &[Problem]) -> Vec<&str> {
        problems.iter().map(|problem| problem.place.as_str()).collect()
    }

    /// One package a folder, so that an edge between folders is an edge between these.
    fn folders() -> Vec<Crate> {
        MAY_USE.iter().map(|(folder, _)| package(folder, folder, &[])).collect()
    }

    #[test]
    fn exactly_the_edges_of_the_table_are_allowed() {
        for (from, allowed) in MAY_USE {
            for (to, _) in MAY_USE {
                let mut crates = folders();
                crates.push(package("one", from, &[to]));
                let expected: &[&str] = if allowed.contains(&to) { &[] } else { &["one"] };
                assert_eq!(names(&check_edges(&crates)), expected, "{from} → {to}");
            }
        }
    }

    #[test]
    fn core_never_points_outward_and_clients_never_into_the_enclave() {
        for (from, to) in
            [("core", "image"), ("image", "control"), ("enclave", "image"), ("client", "enclave")]
        {
            let mut crates = folders();
            crates.push(package("one", from, &[to]));
            let problems = check_edges(&crates);
            assert!(problems[0].what.contains(&format!("`{to}` in {to}/, but {from}/ may only use")));
        }
    }

    #[test]
    fn tests_may_look_further_except_in_core() {
        for (from, to, expected) in [
            ("image", "control", 0),
            ("enclave", "control", 0),
            ("client", "enclave", 0),
            ("core", "control", 1),
        ] {
            let mut crates = folders();
            let mut one = package("one", from, &[to]);
            one.edges[0].dev = true;
            crates.push(one);
            assert_eq!(check_edges(&crates).len(), expected, "{from} → {to}");
        }
    }

    #[test]
    fn a_folder_without_a_rule_is_refused() {
        let problems = check_edges(&[package("one", "misc", &[])]);
        assert_eq!(problems[0].what, "It lies in `misc/`, which is no trust boundary.");
    }

    #[test]
    fn core_lists_are_closed_and_tight() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let mut one = package("caution-eif", "core", &[]);
        one.edges.push(Edge { to: "sha2".into(), dev: false, internal: false });
        one.edges.push(Edge { to: "proptest".into(), dev: true, internal: false });
        let nothing = || Closure { linked: BTreeSet::new(), compile_time: BTreeSet::new() };
        let check = |listed: &[(&str, &[&str])]| {
            let core = listed.iter().map(|(name, list)| ((*name).to_owned(), set(list))).collect();
            check_core_lists(std::slice::from_ref(&one), &Lists { core, enclave_os: nothing() })
        };
        assert_eq!(check(&[("caution-eif", &["sha2"])]), []);
        assert_eq!(names(&check(&[])), ["caution-eif"]);
        assert_eq!(names(&check(&[("caution-eif", &["sha2", "tar"])])), ["xtask/layers.toml"]);
        assert_eq!(names(&check(&[("caution-eif", &["sha2"]), ("gone", &[])])), ["xtask/layers.toml"]);
    }

    #[test]
    fn growth_of_the_measured_binary_is_a_problem() {
        let closure = |linked: &[&str]| Closure {
            linked: linked.iter().map(|name| (*name).to_owned()).collect(),
            compile_time: BTreeSet::new(),
        };
        let lists = Lists { core: BTreeMap::new(), enclave_os: closure(&["serde"]) };
        assert_eq!(check_enclave_list(&closure(&["serde"]), &lists), []);
        let grown = check_enclave_list(&closure(&["serde", "tokio"]), &lists);
        assert_eq!(grown[0].what, "It uses what is not on its closed list: `tokio`.");
        assert_eq!(check_enclave_list(&closure(&[]), &lists).len(), 1);
    }

    #[test]
    fn both_files_must_name_one_compiler() {
        assert_eq!(check_toolchain("1.95.0", "1.95.0"), None);
        let problem = check_toolchain("1.96.0", "1.95.0").unwrap();
        assert_eq!(problem.what, "It locks Rust 1.95.0, but rust-toolchain.toml names 1.96.0.");
    }

    #[test]
    fn a_feature_std_below_a_package_without_it_is_a_problem() {
        let tree = "caution-attest v0.1.0 (core/attest)\t\nder v0.8.3\talloc,oid\nserde v1.0.0\talloc,std\n";
        let problems = check_no_std("caution-attest", tree);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].what, "It promises `no_std`, but `serde` below it has its feature `std` on.");
        assert_eq!(check_no_std("caution-attest", "der v0.8.3\talloc,nostd\n"), []);
    }
}
