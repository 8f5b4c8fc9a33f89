//! `caution apps check --rebuild`: builds a commit twice, in surroundings that differ in what should not matter.

use super::{Args, finished_image};
use crate::Context;
use crate::commands::apps::build::{Job, build_commit, clean_head, release};
use crate::commands::apps::diff::{compare, open};
use crate::error::CliError;
use crate::scratch::Scratch;
use caution_build::git::Repository;
use caution_build::{Trial, Variation};
use caution_compare::Comparison;
use std::fmt::Write as _;
use std::path::Path;

/// Ends with 1 where the two builds differ.
pub(super) fn rebuild(context: &Context, args: &Args) -> Result<u8, CliError> {
    let repo = Repository::discover(Path::new("."))?;
    let commit = clean_head(&repo, |_| true)?;
    if let Some(image) = caution_build::load_config(&repo, &commit)?.build.oci_tarball {
        return Err(finished_image(&image));
    }
    let release = release(context, args.enclaveos.as_deref())?;
    let scratch = Scratch::new(&context.config.cache)?;
    let limits = args.limits.limits();
    let mut variations = Vec::new();
    let mut images = Vec::new();
    for (trial, which, folder) in
        [(Trial::First, "first", "1"), (Trial::Second, "second", "another folder/of another depth")]
    {
        let output = scratch.path().join(folder);
        let parent = output.parent().unwrap_or(scratch.path());
        std::fs::create_dir_all(parent)
            .map_err(|e| CliError::io("The cache folder cannot be created", parent, &e))?;
        context.terminal.note(&format!("the {which} of two builds of commit {}", commit.short()));
        let job = Job {
            repo: &repo,
            commit: &commit,
            release: &release,
            image: None,
            engine: args.engine,
            signer: None,
            output: &output,
            no_cache: true,
            no_network: args.no_network,
            trial: Some(trial),
            strict: false,
            limits,
        };
        let built = build_commit(context, &job).map_err(|error| match trial {
            Trial::First => error,
            Trial::Second => only_the_second(error, &variations),
        })?;
        variations = built.variations;
        images.push(built.eif);
    }
    let folder = Variation {
        what: "build folder",
        varied: true,
        how: "another name, at another depth, outside of the engine".to_owned(),
    };
    variations.insert(0, folder);
    context.terminal.begin("compare");
    let [left, right] = open(context, &limits, [&images[0], &images[1]])?;
    let comparison = compare(context, [&left, &right])?;
    if context.terminal.json {
        let report = to_json(&variations, &comparison);
        context.terminal.json_result(&serde_json::json!({ "commit": commit.to_string(), "rebuild": report }));
    } else {
        let head = format!("\n  commit {} built twice, without the engine's cache\n\n", commit.short());
        context.terminal.result(&(head + &to_text(&variations) + &comparison.to_text(MOST)));
    }
    Ok(u8::from(!comparison.is_same()))
}

/// The error of a second build, whose surroundings are to blame.
fn only_the_second(mut error: CliError, variations: &[Variation]) -> CliError {
    let varied: Vec<_> = variations.iter().filter(|one| one.varied).map(|one| one.what).collect();
    error
        .causes
        .push(format!("the first build did not fail; in the second these are others: {}", varied.join(", ")));
    error
}

fn to_text(variations: &[Variation]) -> String {
    let mut text = String::new();
    for (varied, word) in [(true, "varied"), (false, "not varied")] {
        for Variation { what, how, .. } in variations.iter().filter(|one| one.varied == varied) {
            let _ = writeln!(text, "  {word:<11}  {what:<18}  {how}");
        }
    }
    text + "\n"
}

fn to_json(variations: &[Variation], comparison: &Comparison) -> serde_json::Value {
    let those = |varied: bool, key: &str| {
        let those = variations.iter().filter(|one| one.varied == varied);
        those.map(|one| serde_json::json!({ "what": one.what, key: one.how })).collect::<Vec<_>>()
    };
    serde_json::json!({
        "same": comparison.is_same(),
        "varied": those(true, "how"),
        "not_varied": those(false, "why"),
        "comparison": comparison,
    })
}

/// How many findings are printed; `--json` has all.
const MOST: usize = 20;
