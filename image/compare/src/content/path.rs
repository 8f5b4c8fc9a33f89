//! Absolute paths that differ: whether the difference is where something was built.

use super::judge::Context;
use crate::cause::Cause;

/// Why two absolute paths differ, if they show it. `names_folder`: what stands before them says that they are the
/// folder of the build, as `comp_dir` or `PWD=` do.
pub(super) fn judge(left: &str, right: &str, names_folder: bool, context: &Context<'_>) -> Option<Cause> {
    // `https://host/…`: what follows the scheme is a host. `file:///…` has none.
    let is_address = |path: &str| path.starts_with("//") && !path.starts_with("///");
    if is_address(left) || is_address(right) {
        return None;
    }
    let (left, right) = (parts(left), parts(right));
    if left.last().zip(right.last()).is_some_and(|(l, r)| is_temporary(l) && is_temporary(r)) {
        return Some(Cause::Randomness);
    }
    let start = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
    let shorter = left.len().min(right.len());
    let end =
        left.iter().rev().zip(right.iter().rev()).take_while(|(l, r)| l == r).count().min(shorter - start);
    if of_compiler(&left, start) && of_compiler(&right, start) {
        return Some(Cause::Toolchain);
    }
    let system = is_system(&left) || is_system(&right);
    if system {
        return None;
    }
    let built = is_build_tree(&left) && is_build_tree(&right);
    let last = left.last().copied().unwrap_or_default();
    let shown = if context.source || context.settings {
        // `python /app/main.py`, `include /home/app/site.conf`: where people put things.
        end > 0 && built && is_source(last)
    } else if end == 0 {
        names_folder && built
    } else {
        let source = if context.compiled { is_source(last) } else { COMPILED.contains(&extension(last)) };
        built || source || names_folder
    };
    shown.then_some(Cause::BuildPath)
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

/// Names that `mktemp`, gcc and Python's `tempfile` make: of their lengths, and mixed as nobody names things.
pub(super) fn is_temporary(name: &str) -> bool {
    let random = |text: &str, length: usize| {
        let class = |byte: &u8| match byte {
            b'a'..=b'z' => Some(0),
            b'A'..=b'Z' => Some(1),
            b'0'..=b'9' => Some(2),
            b'_' => Some(3),
            _ => None,
        };
        let classes: Option<Vec<i32>> = text.as_bytes().iter().map(class).collect();
        text.len() == length
            && classes
                .is_some_and(|classes| classes.windows(2).filter(|pair| pair[0] != pair[1]).count() >= 3)
    };
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    if stem == "tmp" {
        return random(extension, 10);
    }
    let of_gcc = |rest| {
        let kind = extension.split('.').next();
        random(rest, 6) && matches!(kind, Some("o" | "s" | "c" | "ltrans0" | "res" | "ltrans"))
    };
    stem.strip_prefix("cc").is_some_and(of_gcc)
        || stem.strip_prefix("tmp").is_some_and(|rest| random(rest, 8))
}

/// Whether the first difference stands in a compiler's own folder.
fn of_compiler(parts: &[&str], differs_at: usize) -> bool {
    match parts {
        ["rustc", commit, ..] => differs_at == 1 && commit.len() == 40,
        ["usr", "lib", "gcc" | "gcc-cross", _, _, ..] => differs_at == 4 || differs_at == 3,
        ["usr", "lib", llvm, ..] => differs_at == 2 && llvm.starts_with("llvm-"),
        [.., "toolchains", _, _] | ["root", ".rustup", "toolchains", ..] => differs_at == 3,
        _ => false,
    }
}

/// Where nobody builds, and where a different path is a different file.
fn is_system(parts: &[&str]) -> bool {
    parts.first().is_none_or(|first| SYSTEM_ROOTS.contains(first)) && !is_build_tree(parts)
}

/// Where people and machines build.
fn is_build_tree(parts: &[&str]) -> bool {
    parts.first().is_some_and(|first| BUILD_ROOTS.contains(first))
        || BUILD_FOLDERS.iter().any(|folder| parts.starts_with(folder))
}

/// What stands behind the last dot of a name or path.
pub(super) fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Whether a name is that of something a compiler reads or writes.
pub(super) fn is_source(name: &str) -> bool {
    SOURCES.contains(&extension(name))
        || matches!(
            name,
            "Makefile" | "GNUmakefile" | "CMakeLists.txt" | "Dockerfile" | "Containerfile" | "Procfile"
        )
}

/// Whether people write the file at a path: sources, and what configures a system.
pub(super) fn is_by_people(path: &str) -> bool {
    path.starts_with("etc/") || is_source(path.rsplit('/').next().unwrap_or(path))
}

const BUILD_ROOTS: [&str; 18] = [
    "tmp",
    "build",
    "builds",
    "buildroot",
    "home",
    "root",
    "work",
    "workspace",
    "workspaces",
    "src",
    "source",
    "sources",
    "github",
    "mnt",
    "__w",
    "code",
    "project",
    "projects",
];
/// Where they build below folders that are the system's, or an app's.
const BUILD_FOLDERS: [&[&str]; 7] = [
    &["usr", "src"],
    &["usr", "local", "src"],
    &["var", "tmp"],
    &["var", "lib", "jenkins"],
    &["go", "src"],
    &["app", "src"],
    &["app", "build"],
];
const SYSTEM_ROOTS: [&str; 12] =
    ["usr", "etc", "lib", "lib64", "bin", "sbin", "var", "proc", "sys", "dev", "run", "boot"];
/// Sources that only compilers read: no program names them when it runs.
const COMPILED: [&str; 12] = ["c", "h", "cc", "cpp", "cxx", "hh", "hpp", "S", "s", "o", "rs", "go"];
const SOURCES: [&str; 48] = [
    "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "S", "s", "inc", "o", "rs", "go", "py", "pyx", "pl", "pm",
    "rb", "js", "mjs", "cjs", "ts", "tsx", "jsx", "vue", "java", "kt", "scala", "swift", "zig", "f90", "m",
    "sh", "bash", "mk", "cmake", "css", "scss", "yaml", "yml", "toml", "ini", "conf", "cfg", "env", "hcl",
    "md", "rst",
];

#[cfg(test)]
mod tests {
    use super::super::judge::Context;
    use super::judge;
    use crate::cause::Cause::{BuildPath, Randomness, Toolchain};

    #[test]
    fn build_folders_are_told_from_other_paths() {
        let cases = [
            ("/tmp/one/src/main.c", "/tmp/two/src/main.c", false, Some(BuildPath)),
            ("/home/ann/app/x.rs", "/builds/7/app/x.rs", false, Some(BuildPath)),
            ("/tmp/one", "/tmp/two", true, Some(BuildPath)),
            ("/tmp/one", "/tmp/two", false, None),
            ("/opt/app/config.json", "/etc/app/config.json", false, None),
            ("/opt/a/config.json", "/opt/b/config.json", false, None),
            ("/usr/lib/python3.11/os.py", "/usr/lib/python3.12/os.py", false, None),
            (
                "/usr/lib/gcc/x86_64-linux-gnu/12/x.h",
                "/usr/lib/gcc/x86_64-linux-gnu/11/x.h",
                false,
                Some(Toolchain),
            ),
            ("/tmp/ccAb12Cd.o", "/tmp/ccZz98Yx.o", false, Some(Randomness)),
            ("//home/a/x.js", "//home/b/x.js", false, None),
            ("///home/a/x.js", "///home/b/x.js", false, Some(BuildPath)),
            ("/tmp/tmp.filename12", "/tmp/tmp.childNodes", false, None),
            ("/tmp/tmpbuffer01", "/tmp/tmpbuffer02", false, None),
            ("/var/log/a/x.log", "/var/log/b/x.log", false, None),
        ];
        for (left, right, names_folder, expected) in cases {
            assert_eq!(judge(left, right, names_folder, &Context::default()), expected, "{left} {right}");
            assert_eq!(judge(right, left, names_folder, &Context::default()), expected, "{right} {left}");
        }
    }
}
