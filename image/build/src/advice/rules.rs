//! The rules, each a function from the file to its advice.

mod packages;

use super::shell::Command;
use super::{Advice, File, Step};
use crate::containerfile::ImageUse;
use caution_appspec::excerpt;

/// Every rule's advice.
pub(super) fn all(file: &File<'_>) -> Vec<Advice> {
    let of_commands = file
        .commands()
        .flat_map(|(step, command)| COMMANDS.iter().filter_map(move |rule| rule(file, step, command)));
    let mut advice: Vec<Advice> = of_commands.collect();
    advice.extend(images(file));
    advice.extend(additions(file));
    advice.extend(source_date_epoch(file));
    advice.extend(installer_leftovers(file));
    advice
}

pub(super) const UNPINNED_IMAGE: &str = "unpinned-image";

type Rule = fn(&File<'_>, &Step, &Command) -> Option<Advice>;

const COMMANDS: [Rule; 14] = [
    packages::system,
    packages::pip,
    packages::node,
    packages::cargo,
    packages::go,
    pipe_to_shell,
    download,
    clone,
    time,
    history,
    random,
    machine,
    archives,
    network,
];

/// Advice about one command.
fn about(command: &Command, rule: &'static str, why: &'static str, fix: impl Into<String>) -> Advice {
    let what = format!("`{}`", excerpt(&command.words.join(" "), 80));
    Advice { line: command.line, rule, what, why, fix: fix.into() }
}

fn images(file: &File<'_>) -> Vec<Advice> {
    let unpinned = |image: &&ImageUse| image.digest().is_none();
    let name = |image: &ImageUse| excerpt(image.reference.as_deref().unwrap_or(&image.written), 200);
    let advice = |image: &ImageUse| {
        let name = name(image);
        let local = name.starts_with("localhost/");
        let (why, fix) = if local {
            let why = "It is an image of this machine; whoever rebuilds this needs the same one.";
            (why, "say in your README how it is made, or use an image that a registry has".to_owned())
        } else {
            let why = "A tag is moved whenever the image is built again, and everything on it moves along.";
            (why, format!("caution apps pin, or write {name}@sha256:<digest>"))
        };
        Advice { line: image.line, rule: UNPINNED_IMAGE, what: format!("`{name}` has no digest."), why, fix }
    };
    file.parsed.frontend.iter().chain(&file.parsed.images).filter(unpinned).map(advice).collect()
}

fn additions(file: &File<'_>) -> Vec<Advice> {
    let mut advice = Vec::new();
    for (line, words) in &file.parsed.adds {
        let checked = words.iter().any(|word| word.starts_with("--checksum="));
        let remote = words.iter().find(|word| word.starts_with("http://") || word.starts_with("https://"));
        let Some(url) = remote.filter(|url| !checked && !is_commit(url.rsplit('#').next().unwrap_or("")))
        else {
            continue;
        };
        advice.push(Advice {
            line: *line,
            rule: "download-unchecked",
            what: format!("`ADD {}`", excerpt(url, 80)),
            why: "What a server gives today it may not give tomorrow.",
            fix: "ADD --checksum=sha256:<digest> URL, or commit the file".into(),
        });
    }
    advice
}

fn pipe_to_shell(_: &File<'_>, step: &Step, command: &Command) -> Option<Advice> {
    let shells = ["sh", "bash", "ash", "dash", "zsh", "python", "python3", "perl", "node"];
    let fetches = step.starts(&FETCHERS);
    if !command.piped || !fetches || !shells.contains(&command.program()) {
        return None;
    }
    Some(about(
        command,
        "download-piped-to-shell",
        "It runs whatever a server gives that day.",
        "ADD --checksum=sha256:<digest> URL /tmp/install.sh, then run that file",
    ))
}

fn download(_: &File<'_>, step: &Step, command: &Command) -> Option<Advice> {
    let checks =
        step.starts(&["sha256sum", "sha384sum", "sha512sum", "b2sum", "shasum", "gpg", "gpgv", "cosign"]);
    let url = command.arguments().iter().find(|word| word.contains("://"));
    if !FETCHERS.contains(&command.program()) || checks || url.is_none() {
        return None;
    }
    Some(about(
        command,
        "download-unchecked",
        "What a server gives today it may not give tomorrow.",
        "ADD --checksum=sha256:<digest> URL, or `echo \"<digest>  FILE\" | sha256sum -c` in the same RUN",
    ))
}

fn clone(_: &File<'_>, step: &Step, command: &Command) -> Option<Advice> {
    let exact = step.commands.iter().flat_map(|command| &command.words).any(|word| is_commit(word));
    if command.program() != "git" || command.verb() != "clone" || exact {
        return None;
    }
    Some(about(
        command,
        "git-clone-unpinned",
        "A branch or tag may point to another commit tomorrow.",
        "`git checkout <all 40 digits of the commit>` in the same RUN",
    ))
}

fn time(_: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    let fixed = |word: &String| {
        word.contains("SOURCE_DATE_EPOCH") || word.starts_with("-d") || word.starts_with("--date")
    };
    if command.program() != "date" || command.arguments().iter().any(fixed) {
        return None;
    }
    Some(about(
        command,
        "build-time",
        "The moment of the build gets into the image.",
        "date -u -d \"@$SOURCE_DATE_EPOCH\", or leave it out",
    ))
}

fn history(_: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    if command.program() != "git" || !matches!(command.verb(), "describe" | "rev-parse" | "log" | "rev-list")
    {
        return None;
    }
    Some(about(
        command,
        "git-history",
        "Builds see a clean export of the commit, without .git; elsewhere it gives another answer.",
        "write the version into a file of the repository; the manifest names the commit already",
    ))
}

fn random(_: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    let names_it = |word: &String| {
        word.contains("/dev/urandom") || word.contains("/dev/random") || word.contains("$RANDOM")
    };
    let makes = match (command.program(), command.verb()) {
        ("uuidgen" | "ssh-keygen" | "dbus-uuidgen" | "systemd-machine-id-setup", _)
        | ("openssl", "rand" | "genrsa" | "genpkey" | "ecparam" | "req" | "dhparam") => true,
        _ => command.words.iter().any(names_it),
    };
    if !makes {
        return None;
    }
    Some(about(
        command,
        "randomness",
        "It is another value in every build; a secret in an image is known to everyone besides.",
        "make it when the app starts, or commit the public part",
    ))
}

fn machine(_: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    let native = |word: &String| {
        word.contains("-march=native") || word.contains("target-cpu=native") || word.contains("-mtune=native")
    };
    if command.words.iter().any(native) {
        let why = "The compiler chooses instructions of the processor it happens to run on.";
        return Some(about(
            command,
            "native-processor",
            why,
            "name one: -march=x86-64-v2, target-cpu=x86-64-v2",
        ));
    }
    let uname = command.program() == "uname"
        && command
            .arguments()
            .iter()
            .any(|word| word.starts_with('-') && word.contains(['a', 'n', 'r', 'v']));
    if !uname && !matches!(command.program(), "hostname" | "hostnamectl") {
        return None;
    }
    Some(about(
        command,
        "host-name",
        "The builder's name or kernel gets into the image.",
        "leave it out, or write a constant",
    ))
}

fn archives(_: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    let first = command.arguments().first().map_or("", String::as_str);
    let begins = |option: &str| command.arguments().iter().any(|word| word.starts_with(option));
    let fix = match command.program() {
        "tar"
            if (first.trim_start_matches('-').contains('c') && !first.starts_with("--"))
                || command.has("--create") =>
        {
            if begins("--sort") && begins("--mtime") {
                return None;
            }
            "tar --sort=name --mtime=@\"$SOURCE_DATE_EPOCH\" --owner=0 --group=0 --numeric-owner …"
        }
        "zip" if !command.has("-X") => "zip -X, after `touch -d @\"$SOURCE_DATE_EPOCH\"` on what goes in",
        "gzip"
            if !command.has("-n") && !begins("-d") && !begins("-9n") && !begins("-n") && !command.piped =>
        {
            "gzip -n"
        }
        _ => return None,
    };
    Some(about(
        command,
        "archive-times",
        "Archives hold times, owners and the order in which a folder lists its files.",
        fix,
    ))
}

fn network(_: &File<'_>, step: &Step, command: &Command) -> Option<Advice> {
    let compiles = matches!(
        (command.program(), command.verb()),
        ("cargo" | "go" | "dotnet", "build" | "install" | "publish")
            | ("npm" | "yarn" | "pnpm", "run" | "build")
            | ("make" | "gcc" | "g++" | "cc" | "clang" | "rustc" | "cmake" | "ninja" | "mvn" | "gradle", _)
    );
    if step.offline || !compiles {
        return None;
    }
    let line = step.line;
    let advice = about(
        command,
        "network-while-compiling",
        "A build that can reach the network may use what it finds there, and nobody sees it.",
        "fetch in a step of its own (cargo fetch --locked, go mod download, npm ci), then `RUN --network=none …`",
    );
    Some(Advice { line, ..advice })
}

fn source_date_epoch(file: &File<'_>) -> Option<Advice> {
    let honours = [
        "gcc", "g++", "cc", "make", "cargo", "rustc", "python", "python3", "pip", "pip3", "tar", "zip",
        "jar", "mvn", "gradle", "npm", "useradd", "adduser", "groupadd", "apt-get", "dpkg-deb", "gzip",
    ];
    let step = file.steps.iter().find(|step| step.starts(&honours))?;
    if file.mentions("SOURCE_DATE_EPOCH") {
        return None;
    }
    Some(Advice {
        line: step.line,
        rule: "no-source-date-epoch",
        what: "SOURCE_DATE_EPOCH is set nowhere.".into(),
        why: "Compilers, archivers and package tools that honour it write the time of the build instead.",
        fix: "ENV SOURCE_DATE_EPOCH=1 behind each FROM that builds".into(),
    })
}

/// Logs and caches with times, left by installers in the stage that becomes the image.
fn installer_leftovers(file: &File<'_>) -> Vec<Advice> {
    let installs =
        |command: &&Command| matches!(command.program(), "apt-get" | "apt") && command.verb() == "install";
    let cleans = |step: &Step| {
        let removed = |command: &Command| {
            command.program() == "rm" && command.words.iter().any(|word| word.contains("/var/log"))
        };
        step.commands.iter().any(removed)
    };
    let steps = file.steps.iter().filter(|step| step.last_stage && !cleans(step));
    let advice = steps.filter_map(|step| {
        Some(about(
            step.commands.iter().find(installs)?,
            "installer-leftovers",
            "apt, dpkg and ldconfig leave logs and caches that hold the time.",
            "rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig /var/lib/apt/lists/* \
             in the same RUN",
        ))
    });
    advice.collect()
}

/// All digits of a commit's name.
fn is_commit(word: &str) -> bool {
    matches!(word.len(), 40 | 64) && word.bytes().all(|b| b.is_ascii_hexdigit())
}

const FETCHERS: [&str; 3] = ["curl", "wget", "aria2c"];
